"""Writes a candidate release from the warehouse, and publishes or discards it.

A candidate is a folder beside the others. Publishing renames the link `published` onto
it, which POSIX does in one step: a reader sees the old release or the new one. An
unchanged day of a large fact is hard-linked from the release before, so publishing
costs what changed. Unchanged is told by a fingerprint over (key, number of the change
that wrote the row) and the table's generation: a row rewritten, added or deleted moves
it, and so does building the table anew or changing its columns.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import NearlineError
from nearline.landing.landings import list_landings
from nearline.landing.log_positions import landed_positions
from nearline.privacy.suppression import applied_digest
from nearline.publication.live_files import write_live_files
from nearline.publication.rebuilds import current_suppression, current_warehouse
from nearline.publication.tables import (
    INTERNAL_COLUMNS,
    PublishedTable,
    published_tables,
    table_path,
)
from nearline.settings import Settings
from nearline.sql_text import literal

if TYPE_CHECKING:
    import duckdb

MANIFEST = "manifest.json"
KEPT_RELEASES = 5

# dbt's table of events as they were landed, once each.
_LANDED_EVENTS = "int_events__deduplicated"


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One table in a manifest. `days` maps a day to its fingerprint."""

    rows: int
    written_days: int = 0
    linked_days: int = 0
    days: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a release holds: which run and code made it, from which landings."""

    release_id: str
    created_at: str
    code_version: str
    data_up_to: str | None
    landings: Mapping[str, int]
    tables: Mapping[str, TableEntry]
    log_positions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By topic and partition of the event log, the offset before which everything is in
    the tables: where a reader goes on that follows the log from this release."""
    log: str | None = None
    """Which log these positions are of."""
    suppression: str = ""
    """Digest of the suppression list that the tables were built under."""


def read_manifest(release: Path) -> Manifest | None:
    """The manifest of `release` (or of a link to one); None where there is none."""
    path = release / MANIFEST
    if not path.exists():
        return None
    fields = json.loads(path.read_text())
    tables = {name: TableEntry(**entry) for name, entry in fields.pop("tables").items()}
    return Manifest(**fields, tables=tables)


def write_candidate(
    settings: Settings,
    release_id: str,
    code_version: str,
    created_at: datetime,
    on_table: Callable[[str], None] = lambda table: None,
) -> Path:
    """Writes release `release_id` from the warehouse; returns its folder.

    Raises:
        NearlineError: a table that every release has is missing in the warehouse.
    """
    import duckdb

    release = settings.releases / release_id
    _remove_drafts(settings)
    draft = settings.releases / f".draft-{release_id}"
    draft.mkdir(parents=True)
    try:
        with duckdb.connect(
            str(current_warehouse(settings)), read_only=True
        ) as warehouse:
            warehouse.execute("set timezone = 'UTC'")
            tables = _write_tables(
                warehouse,
                published_tables(settings.dbt_project),
                draft,
                settings.published.resolve(),
                on_table,
            )
            write_live_files(warehouse, draft)
            landings = _last_landings(warehouse)
            log, log_positions = _log_positions(settings, landings.get("nearline", 0))
            manifest = Manifest(
                release_id=release_id,
                created_at=created_at.astimezone(UTC).isoformat(timespec="seconds"),
                code_version=code_version,
                data_up_to=_last_arrival(warehouse),
                landings=landings,
                log=log,
                log_positions=log_positions,
                tables=tables,
                suppression=current_suppression(settings),
            )
        (draft / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
        draft.rename(release)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _point(settings.candidate, release)
    return release


def _remove_drafts(settings: Settings) -> None:
    """Removes what killed runs left: one run at a time writes releases."""
    for draft in settings.releases.glob(".draft-*"):
        shutil.rmtree(draft)


def _write_tables(
    warehouse: "duckdb.DuckDBPyConnection",
    published: Sequence[PublishedTable],
    draft: Path,
    folder_before: Path,
    on_table: Callable[[str], None],
) -> dict[str, TableEntry]:
    before = read_manifest(folder_before)
    tables: dict[str, TableEntry] = {}
    for table in published:
        on_table(table.name)
        columns = _columns(warehouse, table)
        if table.day_column is None:
            tables[table.name] = _write_file(warehouse, draft, table, columns)
        else:
            known = before.tables.get(table.name) if before else None
            tables[table.name] = _write_days(
                warehouse,
                draft,
                table,
                columns,
                known.days if known else {},
                table_path(folder_before, table.name),
            )
    return tables


def publish(settings: Settings, release: Path) -> None:
    """Makes `release` the one that everybody reads.

    Raises:
        NearlineError: there is no such release, or it is not complete.
    """
    if not (release / MANIFEST).exists():
        raise NearlineError(f"there is no complete release {release.name} to publish")
    _point(settings.published, release)


def _point(link: Path, release: Path) -> None:
    """Puts a relative link to `release` in the place of `link`, in one step."""
    draft = link.with_name(f".{link.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path(release.parent.name) / release.name)
    draft.replace(link)


def remove_old_releases(settings: Settings, kept: int = KEPT_RELEASES) -> list[str]:
    """Removes all but the newest `kept` releases and the published one.

    Releases built under another suppression list go at once: they may hold somebody who
    was erased since.
    """
    published = settings.published.resolve().name
    releases = sorted(
        folder.name
        for folder in settings.releases.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    )
    applied = applied_digest(settings)
    old = [
        name
        for number, name in enumerate(reversed(releases))
        if name != published
        and (number >= kept or _suppression(settings.releases / name) != applied)
    ]
    for name in old:
        shutil.rmtree(settings.releases / name)
        shutil.rmtree(settings.quality / name, ignore_errors=True)
    return old


def _suppression(release: Path) -> str | None:
    manifest = read_manifest(release)
    return manifest.suppression if manifest else None


def new_release_id(settings: Settings, now: datetime) -> str:
    """A folder name that sorts by time, one second after any that exists already."""
    while True:
        release_id = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        if not (settings.releases / release_id).exists():
            return release_id
        now += timedelta(seconds=1)


def _columns(
    warehouse: "duckdb.DuckDBPyConnection", table: PublishedTable
) -> dict[str, str]:
    """Published columns of a table, in order: name -> type."""
    columns = dict(
        warehouse.execute(
            "select column_name, data_type from duckdb_columns() "
            "where table_name = ? and schema_name = current_schema() and not internal "
            "order by column_index",
            [table.name],
        ).fetchall()
    )
    if not columns:
        raise NearlineError(
            f"the warehouse has no table {table.name}; did dbt build all of it?"
        )
    return {name: columns[name] for name in columns if name not in INTERNAL_COLUMNS}


def _write_file(
    warehouse: "duckdb.DuckDBPyConnection",
    draft: Path,
    table: PublishedTable,
    columns: Mapping[str, str],
) -> TableEntry:
    target = literal(table_path(draft, table.name))
    rows = _copy(warehouse, _select(table, columns), target)
    return TableEntry(rows=rows)


def _write_days(
    warehouse: "duckdb.DuckDBPyConnection",
    draft: Path,
    table: PublishedTable,
    columns: Mapping[str, str],
    known_days: Mapping[str, str],
    folder_before: Path,
) -> TableEntry:
    folder = table_path(draft, table.name)
    folder.mkdir()
    day = table.day_column
    generation = _generation(warehouse, table, columns)
    # Hashed twice: DuckDB's hash of a pair is the exclusive or of two hashes, in which
    # the numbers of an even count of rows changed together would cancel out.
    found = warehouse.execute(
        f"select {day}, count(*), "
        f"cast(bit_xor(hash(hash({', '.join(table.key)}, change_seq))) as varchar) "
        f"from {table.name} group by {day} order by {day}"
    ).fetchall()
    days = {str(date): f"{generation}: {rows}-{mark}" for date, rows, mark in found}
    changed = []
    for date, fingerprint in days.items():
        file_before = folder_before / f"day={date}" / "part-0.parquet"
        if known_days.get(date) == fingerprint and file_before.exists():
            (folder / f"day={date}").mkdir()
            os.link(file_before, folder / f"day={date}" / "part-0.parquet")
        else:
            changed.append(date)
    if not days:
        # A folder without a file could not be read: an empty part keeps the columns.
        (folder / "day=none").mkdir()
        target = literal(folder / "day=none" / "part-0.parquet")
        _copy(warehouse, _select(table, columns), target)
    for date in changed:
        (folder / f"day={date}").mkdir()
        target = literal(folder / f"day={date}" / "part-0.parquet")
        where = f" where {day} = date '{date}'"
        _copy(warehouse, _select(table, columns) + where, target)
    return TableEntry(
        rows=sum(rows for _, rows, _ in found),
        written_days=len(changed),
        linked_days=len(days) - len(changed),
        days=days,
    )


def _generation(
    warehouse: "duckdb.DuckDBPyConnection",
    table: PublishedTable,
    columns: Mapping[str, str],
) -> str:
    """Which build of the table this is, and which columns it has."""
    comment = warehouse.execute(
        "select comment from duckdb_tables() "
        "where table_name = ? and schema_name = current_schema()",
        [table.name],
    ).fetchall()[0][0]
    shape = hashlib.sha256(json.dumps(list(columns.items())).encode()).hexdigest()
    return f"{comment}, columns {shape[:8]}"


def _select(table: PublishedTable, columns: Mapping[str, str]) -> str:
    return f"select {', '.join(columns)} from {table.name}"


def _copy(warehouse: "duckdb.DuckDBPyConnection", query: str, target: str) -> int:
    row: Any = warehouse.execute(
        f"copy ({query}) to {target} (format parquet, compression zstd)"
    ).fetchone()
    return int(row[0])


def known_up_to(warehouse: "duckdb.DuckDBPyConnection") -> datetime | None:
    """How far the events reach (UTC, no zone), as the macro of this name has it: times of
    snapshots are those of their records."""
    rows = warehouse.execute(
        "select coalesce(max(received_at) filter (where session_id is not null), "
        "max(received_at)) from fct_events"
    ).fetchall()
    reached: datetime | None = rows[0][0]
    return reached


def _last_arrival(warehouse: "duckdb.DuckDBPyConnection") -> str | None:
    reached = known_up_to(warehouse)
    return None if reached is None else f"{reached.isoformat()}Z"


def _last_landings(warehouse: "duckdb.DuckDBPyConnection") -> dict[str, int]:
    """Per format, the last landing that the tables hold.

    Asked of the warehouse and not of `raw/`: files may land while dbt builds.
    """
    return dict(
        warehouse.execute(
            f"select source_format, max(landing_id) from {_LANDED_EVENTS} "
            "group by source_format order by source_format"
        ).fetchall()
    )


def _log_positions(
    settings: Settings, last_landing: int
) -> tuple[str | None, dict[str, dict[str, int]]]:
    """The log landed from last, and its positions up to landing `last_landing`."""
    landings = [
        landing
        for landing in list_landings(settings)
        if landing.log is not None and landing.landing_id <= last_landing
    ]
    if not landings:
        return None, {}
    log = landings[-1].log
    assert log is not None
    positions: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in sorted(landed_positions(landings, log).items()):
        positions.setdefault(topic, {})[str(partition)] = offset
    return log, positions

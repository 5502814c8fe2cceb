"""Writes a candidate release from the warehouse, and publishes or discards it.

A candidate is a folder beside the others. Publishing renames the link `published` onto
it, which POSIX does in one step: a reader sees the old release or the new one. An
unchanged day of a large fact is hard-linked from the release before, so publishing
costs what changed. Unchanged is told by a fingerprint over (key, number of the change
that wrote the row) and the table's generation: a row rewritten, added or deleted moves
it, and so does building the table anew.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import NearlineError
from nearline.landing.landings import list_landings
from nearline.publication.tables import (
    INTERNAL_COLUMNS,
    PUBLISHED_TABLES,
    PublishedTable,
    table_path,
)
from nearline.settings import Settings

if TYPE_CHECKING:
    import duckdb

MANIFEST = "manifest.json"
KEPT_RELEASES = 5


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


def read_manifest(release: Path) -> Manifest | None:
    """The manifest of `release` (or of the link `published`), None where there is none."""
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
    draft = settings.releases / f".draft-{release_id}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    before_folder = settings.published.resolve()
    before = read_manifest(before_folder)
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        warehouse.execute("set timezone = 'UTC'")
        tables: dict[str, TableEntry] = {}
        for table in PUBLISHED_TABLES:
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
                    table_path(before_folder, table.name),
                )
        row = warehouse.execute("select max(received_at) from fct_events").fetchone()
    data_up_to = row[0] if row else None
    manifest = Manifest(
        release_id=release_id,
        created_at=created_at.astimezone(UTC).isoformat(timespec="seconds"),
        code_version=code_version,
        data_up_to=data_up_to.isoformat() + "Z" if data_up_to else None,
        landings=_last_landings(settings),
        tables=tables,
    )
    (draft / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n")
    draft.rename(release)
    _point(settings.candidate, release)
    return release


def publish(settings: Settings, release: Path) -> None:
    """Makes `release` the one that everybody reads."""
    _point(settings.published, release)


def _point(link: Path, release: Path) -> None:
    """Puts a relative link to `release` in the place of `link`, in one step."""
    draft = link.with_name(f".{link.name}-{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path(release.parent.name) / release.name)
    draft.replace(link)


def remove_old_releases(settings: Settings, kept: int = KEPT_RELEASES) -> list[str]:
    """Removes all but the newest `kept` releases and the published one."""
    published = settings.published.resolve().name
    releases = sorted(
        folder.name
        for folder in settings.releases.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    )
    old = [name for name in releases[:-kept] if name != published]
    for name in old:
        shutil.rmtree(settings.releases / name)
        shutil.rmtree(settings.quality / name, ignore_errors=True)
    return old


def new_release_id(settings: Settings, now: datetime) -> str:
    """A folder name that sorts by time, one second after any that exists already."""
    while True:
        release_id = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        if not (settings.releases / release_id).exists():
            return release_id
        now += timedelta(seconds=1)


def _columns(warehouse: "duckdb.DuckDBPyConnection", table: PublishedTable) -> str:
    names = [
        row[0]
        for row in warehouse.execute(
            "select column_name from duckdb_columns() "
            "where table_name = ? and not internal order by column_index",
            [table.name],
        ).fetchall()
    ]
    if not names:
        raise NearlineError(
            f"the warehouse has no table {table.name}; did dbt build all of it?"
        )
    return ", ".join(name for name in names if name not in INTERNAL_COLUMNS)


def _write_file(
    warehouse: "duckdb.DuckDBPyConnection",
    draft: Path,
    table: PublishedTable,
    columns: str,
) -> TableEntry:
    target = _quoted(table_path(draft, table.name))
    rows = _copy(warehouse, f"select {columns} from {table.name}", target)
    return TableEntry(rows=rows)


def _write_days(
    warehouse: "duckdb.DuckDBPyConnection",
    draft: Path,
    table: PublishedTable,
    columns: str,
    known_days: Mapping[str, str],
    folder_before: Path,
) -> TableEntry:
    folder = table_path(draft, table.name)
    folder.mkdir()
    day = table.day_column
    generation = warehouse.execute(
        "select comment from duckdb_tables() where table_name = ?", [table.name]
    ).fetchall()[0][0]
    found = warehouse.execute(
        f"select {day}, count(*), "
        f"cast(bit_xor(hash({table.key}, change_seq)) as varchar) "
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
        target = _quoted(folder / "day=none" / "part-0.parquet")
        _copy(warehouse, f"select {columns} from {table.name}", target)
    for date in changed:
        (folder / f"day={date}").mkdir()
        target = _quoted(folder / f"day={date}" / "part-0.parquet")
        _copy(
            warehouse,
            f"select {columns} from {table.name} where {day} = date '{date}'",
            target,
        )
    return TableEntry(
        rows=sum(rows for _, rows, _ in found),
        written_days=len(changed),
        linked_days=len(days) - len(changed),
        days=days,
    )


def _copy(warehouse: "duckdb.DuckDBPyConnection", query: str, target: str) -> int:
    row: Any = warehouse.execute(
        f"copy ({query}) to {target} (format parquet, compression zstd)"
    ).fetchone()
    return int(row[0])


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _last_landings(settings: Settings) -> dict[str, int]:
    last: dict[str, int] = {}
    for landing in list_landings(settings):
        last[landing.format] = max(landing.landing_id, last.get(landing.format, 0))
    return last

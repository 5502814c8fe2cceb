"""What differs between two releases, table by table: counts, and a few keys to look up.

Belongs here: comparing what readers see. Not here: whether a difference is wanted; that
is for whoever asked for the rebuild or the backfill. Keys are pseudonyms and names of
things; values are not told.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.publication.releases import Manifest, read_manifest
from nearline.publication.tables import PublishedTable, table_path
from nearline.replacement import replace_file
from nearline.settings import Settings
from nearline.sql_text import literal

if TYPE_CHECKING:
    import duckdb

CHANGES = "changes.json"
_EXAMPLES = 5
_MOST_TABLES_IN_WORDS = 30

Key = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class TableChanges:
    """How one table differs. A row is known again by the table's key."""

    table: str
    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    examples: Mapping[str, Sequence[Key]] = field(default_factory=dict)
    """Up to five keys each of rows `added`, `removed` and `changed`."""

    @property
    def is_any(self) -> bool:
        return bool(
            self.added
            or self.removed
            or self.changed
            or self.columns_added
            or self.columns_removed
        )

    def in_words(self) -> str:
        parts = [
            f"{count:,} {what}"
            for what, count in (
                ("added", self.added),
                ("removed", self.removed),
                ("changed", self.changed),
            )
            if count
        ]
        parts += [f"new column {name}" for name in self.columns_added]
        parts += [f"column {name} gone" for name in self.columns_removed]
        rows = f"{self.rows_before:,} -> {self.rows_after:,} rows"
        return f"{self.table}: {rows}; {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class ReleaseChanges:
    """How release `after` differs from release `before`."""

    before: str
    after: str
    tables: tuple[TableChanges, ...]

    def in_words(self) -> list[str]:
        """Lines for a terminal; tables that are equal have none."""
        different = [table for table in self.tables if table.is_any]
        if not different:
            return [f"No row differs from release {self.before}"]
        return [
            f"Changed against release {self.before}:",
            *(f"  {table.in_words()}" for table in different[:_MOST_TABLES_IN_WORDS]),
        ]


def compare_releases(
    before: Path, after: Path, published: Iterable[PublishedTable]
) -> ReleaseChanges:
    """Compares the `published` tables of two releases, row by row.

    Tables that `after` has no longer are told by their rows alone. Days that one release
    has from the other are the same file and are not read. Where the suppression list
    changed between the two, keys of removed rows are left out: they may be those of
    somebody who was erased.
    """
    import duckdb

    manifest_before, manifest_after = read_manifest(before), read_manifest(after)
    assert manifest_before is not None, f"{before.name} is no complete release"
    assert manifest_after is not None, f"{after.name} is no complete release"
    with_removed_keys = manifest_before.suppression == manifest_after.suppression
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        tables = tuple(
            _compare_table(
                connection,
                table,
                _Side(before, manifest_before),
                _Side(after, manifest_after),
                with_removed_keys,
            )
            for table in published
        )
    gone = tuple(
        TableChanges(name, entry.rows, 0, added=0, removed=entry.rows, changed=0)
        for name, entry in manifest_before.tables.items()
        if name not in manifest_after.tables
    )
    return ReleaseChanges(before.name, after.name, tables + gone)


def write_changes(settings: Settings, changes: ReleaseChanges) -> Path:
    """Writes `quality/<release>/changes.json`, which is removed with the release."""
    path = settings.quality / changes.after / CHANGES
    text = json.dumps(asdict(changes), indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))
    return path


def read_changes(settings: Settings, release_id: str) -> ReleaseChanges | None:
    """What is written of a release; None where it was compared with none."""
    path = settings.quality / release_id / CHANGES
    if not path.exists():
        return None
    fields = json.loads(path.read_text())
    tables = tuple(
        TableChanges(
            **table
            | {
                name: tuple(table[name])
                for name in ("columns_added", "columns_removed")
            }
        )
        for table in fields.pop("tables")
    )
    return ReleaseChanges(**fields, tables=tables)


@dataclass(frozen=True, slots=True)
class _Side:
    release: Path
    manifest: Manifest

    def files(self, table: str) -> dict[str, Path]:
        """The table's Parquet files by their place in it."""
        path = table_path(self.release, table)
        if path.is_dir():
            return {
                str(file.relative_to(path)): file for file in path.glob("*/*.parquet")
            }
        return {"": path} if path.exists() else {}

    def rows(self, table: str) -> int:
        entry = self.manifest.tables.get(table)
        return entry.rows if entry else 0


def _compare_table(
    connection: "duckdb.DuckDBPyConnection",
    table: PublishedTable,
    before: _Side,
    after: _Side,
    with_removed_keys: bool,
) -> TableChanges:
    files_before, files_after = before.files(table.name), after.files(table.name)
    rows_before, rows_after = before.rows(table.name), after.rows(table.name)
    if not files_before:
        return TableChanges(
            table.name, rows_before, rows_after, added=rows_after, removed=0, changed=0
        )
    shared = {
        place
        for place in files_before.keys() & files_after.keys()
        if files_before[place].samefile(files_after[place])
    }
    connection.execute(
        f"create or replace view before as {_read(files_before, shared)}"
    )
    connection.execute(f"create or replace view after as {_read(files_after, shared)}")
    columns_before = _columns(connection, "before")
    columns_after = _columns(connection, "after")
    has_key = all(
        name in columns_before and name in columns_after for name in table.key
    )
    # A key that one of them has not yet identifies nothing: whole rows are compared.
    key = table.key if has_key else [c for c in columns_after if c in columns_before]
    _find_differing_rows(connection, key, columns_before, columns_after)
    counts = dict(
        connection.execute(
            "select status, count(*) from differing group by status"
        ).fetchall()
    )
    examples = {
        status: _examples(connection, table.key, status)
        for status in ("added", "removed", "changed")
        if has_key and counts.get(status) and (status != "removed" or with_removed_keys)
    }
    return TableChanges(
        table.name,
        rows_before,
        rows_after,
        added=counts.get("added", 0),
        removed=counts.get("removed", 0),
        changed=counts.get("changed", 0),
        columns_added=tuple(
            name for name in columns_after if name not in columns_before
        ),
        columns_removed=tuple(
            name for name in columns_before if name not in columns_after
        ),
        examples=examples,
    )


def _read(files: Mapping[str, Path], without: set[str]) -> str:
    read = [file for place, file in files.items() if place not in without]
    # The columns are those of any file where there is no row to read.
    names = ", ".join(literal(file) for file in read or list(files.values())[:1])
    return (
        f"select * from read_parquet([{names}], hive_partitioning = false, "
        f"union_by_name = true) where {bool(read)}"
    )


def _columns(connection: "duckdb.DuckDBPyConnection", view: str) -> dict[str, str]:
    return {row[0]: row[1] for row in connection.execute(f"describe {view}").fetchall()}


def _find_differing_rows(
    connection: "duckdb.DuckDBPyConnection",
    key: Sequence[str],
    columns_before: Mapping[str, str],
    columns_after: Mapping[str, str],
) -> None:
    """Makes the table `differing`: the keys, and the status of each differing row."""

    def value(side: str, column: str) -> str:
        # Of another type, values are compared as they are written.
        if columns_before[column] == columns_after[column]:
            return f"{side}.{column}"
        return f"cast({side}.{column} as varchar)"

    shared = [name for name in columns_after if name in columns_before]
    row_before = ", ".join(value("before", name) for name in shared)
    row_after = ", ".join(value("after", name) for name in shared)
    same_key = " and ".join(
        f"{value('before', name)} is not distinct from {value('after', name)}"
        for name in key
    )
    keys = ", ".join(
        f"cast(coalesce(after.{name}, before.{name}) as varchar) as {name}"
        for name in key
    )
    connection.execute(
        "create or replace temp table differing as "
        f"select * from (select {keys}, case "
        "when before.is_there is null then 'added' "
        "when after.is_there is null then 'removed' "
        f"when row({row_before}) is distinct from row({row_after}) then 'changed' "
        "end as status "
        "from (select *, true as is_there from before) as before "
        "full join (select *, true as is_there from after) as after "
        f"on {same_key}) where status is not null"
    )


def _examples(
    connection: "duckdb.DuckDBPyConnection", key: Sequence[str], status: str
) -> list[Key]:
    names = ", ".join(key)
    rows = connection.execute(
        f"select {names} from differing where status = ? order by all "
        f"limit {_EXAMPLES}",
        [status],
    ).fetchall()
    return [dict(zip(key, row, strict=True)) for row in rows]

"""Labels: rows of a key, a moment and whatever is to be learnt, in the order given.

Belongs here: reading them from a query over the published tables or from a file, and
what must hold of them. A query sees the published tables and nothing else: no other
file, no statement that writes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from nearline.errors import InputError
from nearline.own_tables import (
    FILE_SUFFIXES,
    is_parquet,
    reading,
    require_file,
    rows_of,
)
from nearline.publication.tables import scan
from nearline.sql_text import literal

if TYPE_CHECKING:
    from collections.abc import Iterable

MOMENT = "event_timestamp"
"""Column of the moment at which a label's features are taken, UTC."""

_EXAMPLE = "select visitor_id, started_at as event_timestamp, ... from fct_sessions"
# What their messages quote is the query; others may quote a value of a row.
_ABOUT_THE_QUERY = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)


@dataclass(frozen=True, slots=True)
class Labels:
    """One row per label, in the order given, duplicates included.

    `table` has the keys as text, `event_timestamp` as UTC microseconds without a zone,
    and every other column as it came. `digest` is the SHA-256 of the query's text or of
    the file.
    """

    table: pa.Table
    origin: Literal["query", "file"]
    digest: str

    @property
    def names(self) -> list[str]:
        return list(self.table.column_names)


def read_labels(stated: str, release: Path, keys: Sequence[str]) -> Labels:
    """Labels from a SELECT, a file that holds one (.sql), or a CSV or Parquet file.

    Args:
        stated: the query over tables of `release`, or the path of a file.
        keys: the columns that must name an entity, such as visitor_id.

    Raises:
        InputError: it cannot be read, or a row lacks its key or its moment.
    """
    if stated.lower().endswith(FILE_SUFFIXES) and "\n" not in stated:
        path = _existing(stated)
        labels = Labels(_from_file(path, keys), "file", _digest(path.read_bytes()))
    else:
        query = (
            _existing(stated).read_text() if stated.lower().endswith(".sql") else stated
        )
        labels = Labels(_from_query(query, release), "query", _digest(query.encode()))
    return Labels(_checked(labels.table, keys), labels.origin, labels.digest)


def _existing(stated: str) -> Path:
    path = Path(stated).expanduser()
    require_file(path, "--labels: ")
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _from_file(path: Path, keys: Sequence[str]) -> pa.Table:
    with reading(path, "--labels: ") as connection:
        options = () if is_parquet(path) else _csv_options(connection, path, keys)
        return _fetched(connection, f"select * from {rows_of(path, *options)}")


def _csv_options(
    connection: duckdb.DuckDBPyConnection, path: Path, keys: Sequence[str]
) -> tuple[str, ...]:
    """Keys and moment are text, other columns whatever DuckDB takes them for."""
    found = connection.sql(
        f"select * from {rows_of(path, 'all_varchar = true')}"
    ).columns
    # Ids of digits alone would lose their leading zeros as numbers.
    texts = [name for name in (*keys, MOMENT) if name in found]
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in texts)
    return (f"types = {{{types}}}",) if types else ()


def _from_query(query: str, release: Path) -> pa.Table:
    with _published(release) as connection:
        try:
            statements = connection.extract_statements(query)
        except duckdb.ParserException as problem:
            raise InputError(
                f"--labels is neither a query that can be read nor a file that ends in "
                f"{', '.join((*FILE_SUFFIXES, '.sql'))}: {_first_line(problem)}"
            ) from problem
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"--labels must be one SELECT, such as: {_EXAMPLE}")
        try:
            return _fetched(connection, query)
        except _ABOUT_THE_QUERY as problem:
            raise InputError(f"--labels: {_first_line(problem)}") from problem
        except duckdb.Error as problem:
            raise InputError(
                f"--labels: the query failed ({type(problem).__name__}); its message "
                "may hold a value and is left out"
            ) from problem


def _published(release: Path) -> duckdb.DuckDBPyConnection:
    """A connection that has each table of `release` as a view, and no way beyond."""
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    connection.execute("set timezone = 'UTC'")
    for table in sorted(path.stem for path in release.glob("*.parquet")):
        connection.execute(
            f'create view "{table}" as select * from {scan(release, table)}'
        )
    folder = literal(f"{release.resolve()}/")
    for setting in (
        # Else a query could read variables of this process by name.
        "python_enable_replacements = false",
        f"allowed_directories = [{folder}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"set {setting}")
    return connection


def _fetched(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    table: pa.Table = connection.sql(query).to_arrow_table()
    return table


def _first_line(problem: duckdb.Error) -> str:
    return str(problem).strip().splitlines()[0]


def _checked(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    names = table.column_names
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise InputError(f"--labels: column {doubled[0]} is there twice; rename one")
    for name in (*keys, MOMENT):
        if name not in names:
            raise InputError(
                f"--labels: column {name} is missing; the service needs "
                f"{', '.join(keys)} and {MOMENT} (UTC)"
            )
    for name in keys:
        table = _replace(table, name, _as_text(name, table[name]))
    table = _replace(table, MOMENT, _as_moments(table[MOMENT]))
    _refuse_nulls(table, (*keys, MOMENT))
    return table


def _as_text(name: str, column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_text = (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )
    if not is_text:
        raise InputError(
            f"--labels: column {name} is {column.type}, it must be text; "
            f"cast({name} as varchar)"
        )
    return column.cast(pa.string())


def _as_moments(column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    """UTC, microseconds, no zone: text with an offset counts, text without is UTC."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit, "UTC"))
        # Finer than microseconds is cut off, never rounded up: it must not see more.
        return column.cast(pa.timestamp("us"), safe=False)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise InputError(
            f"--labels: column {MOMENT} is {kind}, it must be a timestamp in UTC"
        )
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("labels", pa.Table.from_arrays([column], ["moment"]))
        parsed = _fetched(
            connection,
            "select cast(try_cast(moment as timestamptz) as timestamp) as moment "
            "from labels",
        )["moment"].cast(pa.timestamp("us"))
    unread = parsed.null_count - column.null_count
    if unread:
        raise InputError(
            f"--labels: column {MOMENT} holds no timestamp in {unread:,} rows; "
            "write 2026-03-01T12:00:00Z"
        )
    return parsed


def _replace(table: pa.Table, name: str, column: "pa.ChunkedArray[Any]") -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def _refuse_nulls(table: pa.Table, names: "Iterable[str]") -> None:
    for name in names:
        missing = table[name].null_count
        if missing:
            raise InputError(
                f"--labels: column {name} is null in {missing:,} of "
                f"{table.num_rows:,} rows; leave them out (where {name} is not null)"
            )
        if name != MOMENT:
            empty = table.filter(pc.field(name) == "").num_rows
            if empty:
                raise InputError(
                    f"--labels: column {name} is empty in {empty:,} rows; leave them out"
                )

"""A table of the user's own, CSV or Parquet, at a path that they state.

Belongs here: what may be said of any such file before its columns are known. Not here:
the columns, and how a CSV file's values are to be taken; those are their readers'.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from nearline.errors import InputError
from nearline.sql_text import literal

FILE_SUFFIXES = (".csv", ".csv.gz", ".parquet")


def is_parquet(path: Path) -> bool:
    """Whether the name says Parquet; CSV otherwise."""
    return path.name.lower().endswith(".parquet")


def require_file(path: Path, prefix: str = "") -> None:
    """The file is there. `prefix` opens the message, such as an option's name.

    Raises:
        InputError: there is no such file.
    """
    if not path.is_file():
        raise InputError(f"{prefix}there is no file {path.name} at the path given")


def rows_of(path: Path, *csv_options: str) -> str:
    """The file as a relation of DuckDB's SQL; Parquet takes no options."""
    if is_parquet(path):
        # A folder's name such as `day=1` must not become a column.
        return f"read_parquet({literal(path)}, hive_partitioning = false)"
    return f"read_csv({', '.join((literal(path), *csv_options))})"


@contextmanager
def reading(path: Path, prefix: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to read `path` with, in UTC.

    Raises:
        InputError: DuckDB failed within. Its kind of error is told and not its message,
            which may quote a row.
    """
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute("set timezone = 'UTC'")
        try:
            yield connection
        except duckdb.Error as problem:
            raise InputError(
                f"{prefix}{path.name} cannot be read as "
                f"{'Parquet' if is_parquet(path) else 'CSV'} "
                f"({type(problem).__name__})"
            ) from problem

"""Values as text of DuckDB's SQL, for where no parameter may stand: paths in COPY and
in table functions."""

from pathlib import Path


def literal(value: str | Path) -> str:
    """A string literal; quotes within are doubled."""
    return "'" + str(value).replace("'", "''") + "'"


def parquet_rows(path: Path) -> str:
    """A relation of the rows of one file."""
    return f"read_parquet({literal(path)})"

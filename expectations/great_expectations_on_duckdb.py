"""Lets Great Expectations 1.24 run SQL on DuckDB, by a private seam of its own.

Belongs here: the one thing we touch that Great Expectations does not promise. It closes
a connection before it fetches from it, except for dialects on a private list; DuckDB's
driver gives nothing back then ("list index out of range"). The version is pinned for
this exactly, and `tests/unit/expectations/` holds a test that fails as soon as the mend
is no longer needed. Not here: anything else of the library.
"""

from typing import Any


class _DuckDBDialect(str):
    """Equals the dialect's name and has the `.value` that the list's members have."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


def keep_duckdb_connection_open() -> None:
    """Adds DuckDB to the dialects whose connection is kept; twice does nothing."""
    from great_expectations.execution_engine import sqlalchemy_execution_engine

    engine: Any = sqlalchemy_execution_engine
    dialects = engine._PERSISTED_CONNECTION_DIALECTS
    if not any(dialect.value == "duckdb" for dialect in dialects):
        engine._PERSISTED_CONNECTION_DIALECTS = (*dialects, _DuckDBDialect("duckdb"))

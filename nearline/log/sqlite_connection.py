"""A connection to one SQLite file that opens at first use and anew after a failure."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE_SECONDS = 0.01


class SqliteConnection:
    """May be used from several threads, one at a time: the caller holds a lock."""

    def __init__(
        self,
        path: Path,
        timeout_seconds: float,
        prepare: Callable[[sqlite3.Connection], object],
    ) -> None:
        """
        Args:
            timeout_seconds: how long a statement waits for other processes.
            prepare: called with each connection that is opened.
        """
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """The connection. Whatever fails in the block ends it: what was begun is undone.

        Raises:
            sqlite3.Error, OSError: the file cannot be used now.
        """
        try:
            if self._connection is None:
                self._connection = self._connect()
            yield self._connection
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self._path,
            timeout=self._timeout_seconds,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def use_wal(connection: sqlite3.Connection, timeout_seconds: float) -> None:
    """Write-ahead logging, from now on and for all: readers and a writer do not wait for
    each other. Of processes that make a new file at once, SQLite refuses all but one here
    without waiting.

    Raises:
        sqlite3.Error: the file cannot be used, or not within the time.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            connection.execute("pragma journal_mode = wal")
            return
        except sqlite3.OperationalError as problem:
            busy = problem.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)

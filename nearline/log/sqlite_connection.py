"""A connection to one SQLite file that opens at first use and anew after a failure."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


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

"""The embedded log: one SQLite file a topic, in WAL mode, synced before the answer.

One partition, 0. Appends of several threads that meet are committed together: a sync
costs the same for one record and for a thousand, so waiting for each other makes all of
them faster. Several processes may append and read at once; SQLite's own lock orders them.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

from nearline.log.protocol import LogRecord, LogUnavailableError, NewRecord
from nearline.log.sqlite_connection import SqliteConnection, use_wal

_PARTITION = 0
_MOST_APPENDS_TOGETHER = 256
_MOST_REMOVED_TOGETHER = 10_000

# `autoincrement` never gives an offset twice, even after retention removed the newest.
_TABLES = """
create table if not exists records (
    record_offset integer primary key autoincrement,
    appended_at integer not null,
    record_key text not null,
    value blob not null
);
create table if not exists positions (
    consumer text primary key,
    next_offset integer not null
);
"""


class SqliteLog:
    """One topic in one file."""

    def __init__(self, path: Path, topic: str, timeout_seconds: float) -> None:
        self.topic = topic
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._waiting: SimpleQueue[tuple[Sequence[NewRecord], Future[None]]] = (
            SimpleQueue()
        )
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writing = SqliteConnection(path, timeout_seconds, self._prepare)
        self._reading = SqliteConnection(path, timeout_seconds, self._prepare)

    def append(self, records: Sequence[NewRecord]) -> None:
        if not records:
            return
        done: Future[None] = Future()
        self._waiting.put((records, done))
        # Whoever gets the lock commits for all who wait; the others find their work done.
        with self._write_lock:
            while not done.done():
                self._commit_waiting()
        done.result()

    def partitions(self) -> list[int]:
        return [_PARTITION]

    def read(self, partition: int, start: int, limit: int) -> list[LogRecord]:
        with self._reader() as connection:
            rows = connection.execute(
                "select record_offset, appended_at, record_key, value from records "
                "where record_offset >= ? order by record_offset limit ?",
                (start, limit),
            ).fetchall()
        return [LogRecord(_PARTITION, *row) for row in rows]

    def ends(self) -> Mapping[int, int]:
        with self._reader() as connection:
            row = connection.execute(
                "select seq from sqlite_sequence where name = 'records'"
            ).fetchone()
        return {_PARTITION: row[0] + 1 if row else 1}

    def position(self, consumer: str) -> Mapping[int, int]:
        with self._reader() as connection:
            row = connection.execute(
                "select next_offset from positions where consumer = ?", (consumer,)
            ).fetchone()
        return {_PARTITION: row[0]} if row else {}

    def commit(self, consumer: str, position: Mapping[int, int]) -> None:
        if _PARTITION not in position:
            return
        with self._write_lock, self._transaction() as connection:
            connection.execute(
                "insert into positions values (?, ?) on conflict (consumer) do update "
                "set next_offset = max(next_offset, excluded.next_offset)",
                (consumer, position[_PARTITION]),
            )

    def remove_before(self, position: Mapping[int, int]) -> int:
        if _PARTITION not in position:
            return 0
        # In steps, so that appends get their turn: a week of events takes longer to
        # remove than an append may wait.
        removed = 0
        while True:
            with self._write_lock, self._transaction() as connection:
                step = connection.execute(
                    "delete from records where record_offset in ("
                    "select record_offset from records where record_offset < ? "
                    "order by record_offset limit ?)",
                    (position[_PARTITION], _MOST_REMOVED_TOGETHER),
                ).rowcount
            removed += step
            if step < _MOST_REMOVED_TOGETHER:
                return removed

    def close(self) -> None:
        with self._write_lock, self._read_lock:
            self._writing.close()
            self._reading.close()

    def _commit_waiting(self) -> None:
        together: list[tuple[Sequence[NewRecord], Future[None]]] = []
        while len(together) < _MOST_APPENDS_TOGETHER:
            try:
                together.append(self._waiting.get_nowait())
            except Empty:
                break
        now = time.time_ns() // 1_000_000
        rows = [
            (now, record.key, record.value)
            for records, _ in together
            for record in records
        ]
        try:
            with self._transaction() as connection:
                connection.executemany(
                    "insert into records (appended_at, record_key, value) "
                    "values (?, ?, ?)",
                    rows,
                )
        except BaseException as problem:
            for _, done in together:
                done.set_exception(problem)
            # Whose records they were is told by `done`; this thread's may be others.
            if not isinstance(problem, Exception):
                raise
        else:
            for _, done in together:
                done.set_result(None)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained(), self._writing.opened() as connection:
            connection.execute("begin immediate")
            yield connection
            connection.execute("commit")

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with self._read_lock, self._explained(), self._reading.opened() as connection:
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as problem:
            raise LogUnavailableError(
                f"the event log {self._path} cannot be used now: {problem}"
            ) from problem

    def _prepare(self, connection: sqlite3.Connection) -> None:
        use_wal(connection, self._timeout_seconds)
        connection.execute("pragma synchronous = full")
        connection.executescript(_TABLES)

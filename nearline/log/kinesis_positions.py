"""Where named consumers of a Kinesis stream go on: kept here, as Kinesis keeps none."""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nearline.log.sqlite_connection import SqliteConnection

# A sequence number may have 129 digits: more than SQLite's integers hold. As text of one
# width the larger number is the larger text.
_DIGITS = 130

_TABLE = """
create table if not exists positions (
    stream text not null,
    consumer text not null,
    partition_number integer not null,
    next_offset text not null,
    primary key (stream, consumer, partition_number)
);
"""


class KinesisPositions:
    """Positions in one file, shared by the processes of one home.

    Raises:
        sqlite3.Error, OSError: the file cannot be used now.
    """

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self._lock = threading.Lock()
        self._connection = SqliteConnection(
            path,
            timeout_seconds,
            lambda connection: connection.executescript(_TABLE),
        )

    def read(self, stream: str, consumer: str) -> Mapping[int, int]:
        """Next offsets by partition."""
        with self._connected() as connection:
            rows = connection.execute(
                "select partition_number, next_offset from positions "
                "where stream = ? and consumer = ?",
                (stream, consumer),
            ).fetchall()
        return {partition: int(offset) for partition, offset in rows}

    def furthest(self, stream: str) -> Mapping[int, int]:
        """The highest next offset of any consumer, by partition."""
        with self._connected() as connection:
            rows = connection.execute(
                "select partition_number, max(next_offset) from positions "
                "where stream = ? group by partition_number",
                (stream,),
            ).fetchall()
        return {partition: int(offset) for partition, offset in rows}

    def advance(self, stream: str, consumer: str, position: Mapping[int, int]) -> None:
        """Moves to these offsets, all or none; never backwards."""
        rows = [
            (stream, consumer, partition, f"{offset:0{_DIGITS}d}")
            for partition, offset in position.items()
        ]
        with self._connected() as connection:
            connection.execute("begin immediate")
            connection.executemany(
                "insert into positions values (?, ?, ?, ?) "
                "on conflict (stream, consumer, partition_number) do update "
                "set next_offset = max(next_offset, excluded.next_offset)",
                rows,
            )
            connection.execute("commit")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._connection.opened() as connection:
            yield connection

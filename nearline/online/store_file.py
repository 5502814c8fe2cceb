"""The SQLite file of online values: Feast's tables, and beside each one its clock.

Belongs here: SQL on that file. Nothing here knows a feature's meaning or imports Feast.

Feast keeps times in whole seconds and lets whoever writes last win. The clock table
holds, per entity, the exact moment of the value that is stored and a fingerprint of it;
it is written in the same transaction as the value, so a crash leaves both or neither,
and there is no second file to disagree with. Feast's own tables stay as Feast made
them: a plain Feast client reads and writes this file without knowing of the clock. What
such a client wrote is noticed by its time, and treated as exact to the second.

Rejected: extra columns in Feast's tables (its writer would leave them stale unseen), a
snapshot file of what was written last (two files, two crashes).
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import pyarrow as pa

from nearline.errors import NearlineError

BUSY_SECONDS = 60.0
"""How long a writer waits for another writer; readers wait for nobody."""

_CLOCK = "clock__"
_KEYS_IN_A_QUERY = 5_000
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class EntityRow:
    """The values of one entity in one view, encoded as Feast stores them.

    `event_us` and `created_us` are microseconds since 1970, UTC. `values` holds
    (feature, encoded value, value as text or None). Without a `fingerprint`, a value of
    the same moment counts as a correction.
    """

    key: bytes
    event_us: int
    created_us: int
    fingerprint: int | None
    values: Sequence[tuple[str, bytes, str | None]]

    @property
    def moment(self) -> tuple[int, int]:
        return (self.event_us, self.created_us)


@dataclass(frozen=True, slots=True)
class _Stored:
    event_ts: int
    moment: tuple[int, int] | None
    fingerprint: int | None


def enable_reading_while_writing(path: Path) -> None:
    """Switches the file at `path` to write-ahead logging, once and for all clients.

    In SQLite's default mode a commit locks readers out, and a reader a commit.

    Raises:
        NearlineError: the file system does not support it (a network share).
    """
    with _connected(path) as connection:
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
    if mode != "wal":
        raise NearlineError(
            f"{path.name} cannot be read while it is written; "
            "put NEARLINE_HOME on a local disk"
        )


@contextmanager
def open_store_file(path: Path) -> Iterator["StoreFile"]:
    """The file at `path`, for writing; closed at the end."""
    with _connected(path) as connection:
        connection.execute("pragma synchronous = normal")
        # Values of an erased person must not stay readable in freed pages.
        connection.execute("pragma secure_delete = on")
        store = StoreFile(connection)
        yield store
        # Otherwise the log keeps what was deleted until somebody writes again.
        connection.execute("pragma wal_checkpoint(truncate)")


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


class StoreFile:
    """Reads and writes whole entities of Feast's tables; every write is all or none."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def tables(self) -> set[str]:
        """Names of Feast's tables and of our clocks."""
        rows = self._connection.execute(
            "select name from sqlite_master where type = 'table'"
        )
        return {name for (name,) in rows}

    def keep_only(self, tables: Iterable[str]) -> None:
        """Drops every other table: values that no registered view can reach."""
        kept = {name for table in tables for name in (table, f"{_CLOCK}{table}")}
        with self._transaction():
            for table in self.tables() - kept:
                self._connection.execute(f"drop table {_quoted(table)}")

    def add_clock(self, table: str) -> None:
        """Makes the clock of `table` where there is none."""
        self._connection.execute(
            f"create table if not exists {_clock(table)} ("
            "entity_key blob primary key, event_us integer not null, "
            "created_us integer not null, event_ts integer not null, "
            "fingerprint integer) without rowid"
        )

    def held(self, table: str, key_offset: int) -> pa.Table:
        """`entity_id` of every entity in `table`; its bytes start at `key_offset`."""
        ids = self._connection.execute(
            "select distinct cast(substr(entity_key, ?) as text) "
            f"from {_quoted(table)}",
            [key_offset + 1],
        ).fetchall()
        return pa.table({"entity_id": pa.array([row[0] for row in ids], pa.string())})

    def known(self, table: str, key_offset: int, feature: str) -> pa.Table:
        """What is exactly known of `table`: id, moment and fingerprint per entity.

        Entities whose `feature` is missing, or was written past the clock, are left
        out: they are unknown, and `write` looks at each of them.
        """
        rows = self._connection.execute(
            "select cast(substr(c.entity_key, ?) as text), c.event_us, c.created_us, "
            f"c.fingerprint from {_clock(table)} as c join {_quoted(table)} as t "
            "on t.entity_key = c.entity_key and t.feature_name = ? "
            "and t.event_ts = c.event_ts",
            [key_offset + 1, feature],
        ).fetchall()
        names = ("entity_id", "event_us", "created_us", "fingerprint")
        types = (pa.string(), pa.int64(), pa.int64(), pa.int64())
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.table(
            {
                name: pa.array(column, kind)
                for name, column, kind in zip(names, columns, types, strict=True)
            }
        )

    def write(self, table: str, rows: Iterable[EntityRow]) -> int:
        """Writes the rows that are newer than what is stored; returns how many.

        Compared inside the transaction that writes, so that of two writers the newer
        value wins whoever comes last. At the same moment, a different fingerprint is a
        correction and wins.
        """
        newest: dict[bytes, EntityRow] = {}
        for row in rows:
            rival = newest.get(row.key)
            if rival is None or row.moment >= rival.moment:
                newest[row.key] = row
        with self._transaction():
            stored = self._stored(table, list(newest))
            winners = [
                row for row in newest.values() if _supersedes(row, stored.get(row.key))
            ]
            self._connection.executemany(
                f"insert into {_quoted(table)} "
                "(entity_key, feature_name, value, value_text, event_ts, created_ts) "
                "values (?, ?, ?, ?, ?, ?) on conflict (entity_key, feature_name) "
                "do update set value = excluded.value, "
                "value_text = excluded.value_text, vector_value = null, "
                "event_ts = excluded.event_ts, created_ts = excluded.created_ts",
                _feature_rows(winners),
            )
            self._connection.executemany(
                f"insert or replace into {_clock(table)} values (?, ?, ?, ?, ?)",
                [
                    (
                        row.key,
                        row.event_us,
                        row.created_us,
                        feast_seconds(row.event_us),
                        row.fingerprint,
                    )
                    for row in winners
                ],
            )
        return len(winners)

    def delete(self, table: str, keys: Sequence[bytes]) -> None:
        """Removes these entities from `table`, and nothing else."""
        parameters = [(key,) for key in keys]
        with self._transaction():
            for name in (_quoted(table), _clock(table)):
                self._connection.executemany(
                    f"delete from {name} where entity_key = ?", parameters
                )

    def _stored(self, table: str, keys: Sequence[bytes]) -> dict[bytes, _Stored]:
        stored = {}
        remaining = iter(keys)
        while part := list(islice(remaining, _KEYS_IN_A_QUERY)):
            rows = self._connection.execute(
                "select t.entity_key, max(t.event_ts), c.event_ts, c.event_us, "
                f"c.created_us, c.fingerprint from {_quoted(table)} as t "
                f"left join {_clock(table)} as c on c.entity_key = t.entity_key "
                f"where t.entity_key in ({', '.join('?' * len(part))}) "
                "group by t.entity_key",
                part,
            )
            for key, event_ts, clock_ts, event_us, created_us, fingerprint in rows:
                exact = clock_ts == event_ts
                stored[key] = _Stored(
                    event_ts=event_ts,
                    moment=(event_us, created_us) if exact else None,
                    fingerprint=fingerprint if exact else None,
                )
        return stored

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")


def _supersedes(row: EntityRow, stored: _Stored | None) -> bool:
    if stored is None:
        return True
    if stored.moment is None:
        return feast_seconds(row.event_us) >= stored.event_ts
    if row.moment != stored.moment:
        return row.moment > stored.moment
    return row.fingerprint is None or row.fingerprint != stored.fingerprint


def _feature_rows(
    rows: Iterable[EntityRow],
) -> Iterator[tuple[bytes, str, bytes, str | None, int, int]]:
    for row in rows:
        key = row.key
        event_ts = feast_seconds(row.event_us)
        created_ts = feast_seconds(row.created_us)
        for feature, value, text in row.values:
            yield key, feature, value, text, event_ts, created_ts


def feast_seconds(microseconds: int) -> int:
    """A moment as Feast's SQLite store keeps it.

    Feast reads a UTC moment as local time when it writes, and takes that back when it
    reads. Elsewhere than in UTC the number is therefore off, but a reader in the same
    zone gets the right moment, which is what counts.
    """
    return int((_EPOCH + timedelta(microseconds=microseconds)).timestamp())


def _clock(table: str) -> str:
    return _quoted(f"{_CLOCK}{table}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

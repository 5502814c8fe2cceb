"""Online values in a SQLite file: Feast's tables, and beside each one its clock.

Belongs here: SQL on that file. Nothing here knows a feature's meaning.

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
from typing import TYPE_CHECKING

from nearline.errors import NearlineError
from nearline.online.encoding import key_offset
from nearline.online.values import (
    EntityRow,
    OnlineStoreUnavailableError,
    StoredView,
    held_table,
    newest_rows,
)

if TYPE_CHECKING:
    import pyarrow as pa

BUSY_SECONDS = 60.0
"""How long a writer waits for another writer; readers wait for nobody."""

_CLOCK = "clock__"
_EXPIRY = "expiry__"
_KEYS_IN_A_QUERY = 5_000
_EPOCH = datetime(1970, 1, 1)


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
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
    finally:
        connection.close()
    if mode != "wal":
        raise NearlineError(
            f"{path.name} cannot be read while it is written; "
            "put NEARLINE_HOME on a local disk"
        )


class SqliteValues:
    """The file at `path`, made where missing; every write is all or none.

    Any thread may call, one at a time. Tables are named as Feast names them,
    `<project>_<view>`.
    """

    def __init__(
        self, path: Path, project: str, busy_seconds: float = BUSY_SECONDS
    ) -> None:
        self._path = path
        self._project = project
        self._has_removed = False
        with _explained():
            enable_reading_while_writing(path)
            self._connection = sqlite3.connect(
                path,
                timeout=busy_seconds,
                isolation_level=None,
                check_same_thread=False,
            )
            self._connection.execute("pragma synchronous = normal")
            # Values of an erased person must not stay readable in freed pages.
            self._connection.execute("pragma secure_delete = on")

    def close(self) -> None:
        self._has_removed = True
        try:
            self._truncate_log()
        finally:
            self._connection.close()

    def tables(self) -> set[str]:
        """Names of Feast's tables and of our clocks."""
        with _explained():
            rows = self._connection.execute(
                "select name from sqlite_master where type = 'table'"
            )
            return {name for (name,) in rows}

    def prepare(self, view: StoredView) -> None:
        table = self._table(view)
        if table not in self.tables():
            with _explained():
                _create_as_feast_does(self._path, table)
        with self._transaction():
            self._connection.execute(
                f"create table if not exists {_clock(table)} ("
                "entity_key blob primary key, event_us integer not null, "
                "created_us integer not null, event_ts integer not null, "
                "fingerprint integer) without rowid"
            )
            self._connection.execute(
                f"create index if not exists {_quoted(_EXPIRY + table)} "
                f"on {_clock(table)} (event_us)"
            )

    def keep_only(self, views: Iterable[StoredView]) -> None:
        kept = {
            name
            for table in map(self._table, views)
            for name in (table, f"{_CLOCK}{table}")
        }
        with self._transaction():
            for table in self.tables() - kept:
                self._connection.execute(f"drop table {_quoted(table)}")
                self._has_removed = True

    def held(self, view: StoredView) -> "pa.Table":
        table = self._table(view)
        with _explained():
            rows = self._connection.execute(
                "select cast(substr(e.entity_key, ?) as text), c.event_us, "
                "c.created_us, c.fingerprint "
                f"from (select entity_key from {_quoted(table)} "
                f"union select entity_key from {_clock(table)}) as e "
                f"left join {_quoted(table)} as t on t.entity_key = e.entity_key "
                f"and t.feature_name = ? left join {_clock(table)} as c "
                "on c.entity_key = t.entity_key and c.event_ts = t.event_ts",
                [key_offset(view.join_key) + 1, min(view.features)],
            ).fetchall()
        return held_table(rows)

    def write(self, view: StoredView, rows: Iterable[EntityRow]) -> int:
        table = self._table(view)
        newest = newest_rows(rows)
        with self._transaction():
            stored = self._stored(table, [row.key for row in newest])
            winners = [row for row in newest if _supersedes(row, stored.get(row.key))]
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

    def write_together(
        self, rows_of_views: Iterable[tuple[StoredView, Iterable[EntityRow]]]
    ) -> int:
        return sum(self.write(view, rows) for view, rows in rows_of_views)

    def delete(self, view: StoredView, keys: Sequence[bytes]) -> None:
        table = self._table(view)
        with self._transaction():
            self._remove((table, f"{_CLOCK}{table}"), keys)
        self._truncate_log()

    def delete_entities(self, keys: Sequence[bytes]) -> None:
        with self._transaction():
            self._remove(sorted(self.tables()), keys)
        self._truncate_log()

    def expire(self, view: StoredView, before_us: int) -> int:
        table = self._table(view)
        removed = 0
        while self._expired(table, before_us, 1):
            with self._transaction():
                due = self._expired(table, before_us, _KEYS_IN_A_QUERY)
                stored = self._stored(table, due)
                # A newer value that plain Feast has written meanwhile stays, and is
                # unknown without its clock.
                gone = [
                    key
                    for key, value in stored.items()
                    if value.moment is not None
                    or value.event_ts < feast_seconds(before_us)
                ]
                self._remove((table,), gone)
                self._remove((f"{_CLOCK}{table}",), due)
            removed += len(gone)
        self._truncate_log()
        return removed

    def _table(self, view: StoredView) -> str:
        return f"{self._project}_{view.name}"

    def _expired(self, table: str, before_us: int, limit: int) -> list[bytes]:
        with _explained():
            rows = self._connection.execute(
                f"select entity_key from {_clock(table)} where event_us < ? limit ?",
                [before_us, limit],
            ).fetchall()
        return [key for (key,) in rows]

    def _remove(self, tables: Iterable[str], keys: Sequence[bytes]) -> None:
        """Within a transaction."""
        parameters = [(key,) for key in keys]
        for table in tables:
            done = self._connection.executemany(
                f"delete from {_quoted(table)} where entity_key = ?", parameters
            )
            self._has_removed |= done.rowcount > 0

    def _truncate_log(self) -> None:
        """Otherwise the log keeps what was removed until somebody writes again."""
        if self._has_removed:
            with _explained():
                self._connection.execute("pragma wal_checkpoint(truncate)")
            self._has_removed = False

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
        with _explained():
            self._connection.execute("begin immediate")
            try:
                yield
                self._connection.execute("commit")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("rollback")
                raise


def clocked_event_times(
    connection: sqlite3.Connection, table: str, keys: Sequence[bytes]
) -> dict[bytes, int]:
    """Event times in microseconds, of those of few entities that `table`'s clock has."""
    if (
        not keys
        or not connection.execute(
            "select 1 from sqlite_master where name = ?", [f"{_CLOCK}{table}"]
        ).fetchall()
    ):
        return {}
    return dict(
        connection.execute(
            f"select entity_key, event_us from {_clock(table)} "
            f"where entity_key in ({', '.join('?' * len(keys))})",
            keys,
        ).fetchall()
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Locked for too long, a full disk, a file that cannot be opened."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise OnlineStoreUnavailableError(
            f"the online store cannot be written: {error}; what apps read is as before"
        ) from error


def _create_as_feast_does(path: Path, name: str) -> None:
    from feast.infra.online_stores.sqlite import SqliteTable

    table = SqliteTable(str(path), name)
    try:
        table.update()  # type: ignore[no-untyped-call]
    finally:
        table.conn.close()


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

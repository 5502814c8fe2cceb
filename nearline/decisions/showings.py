"""Keeps when things under a cap were shown to whom: a SQLite file, or Redis.

Belongs here: counts that all workers share and that outlive them, taken and checked in
one step. A row is a pseudonym, a name of the policies and a moment; caps themselves bound
how many there are. Not here: what a cap is (`caps`).
"""

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import uuid4

from nearline.decisions.caps import MOST_DAYS, Capped, Shown, period_ms
from nearline.log.sqlite_connection import SqliteConnection, use_wal
from nearline.settings import Settings

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster

_WAIT_SECONDS = 1.0
_REMOVED_TOGETHER = 500
_MOST_MS = MOST_DAYS * 86_400_000
_TABLES = """
create table if not exists shown (
    visitor_id text not null, thing text not null, at integer not null
);
create index if not exists shown_by_visitor on shown (visitor_id, at);
create index if not exists shown_by_time on shown (at);
"""


class Showings(Protocol):
    """May be used from several threads. What cannot be reached raises anything."""

    def read(self, visitor_id: str, after: int) -> Shown:
        """What was shown to a visitor after a moment (ms since 1970)."""
        ...

    def take(self, visitor_id: str, things: Sequence[Capped], now: int) -> bool:
        """Counts each as shown now; counts nothing and returns False where a cap of one
        of them is reached, whoever reached it meanwhile."""
        ...

    def forget(self, visitors: Collection[str]) -> int:
        """Deletes all counts of these visitors; returns of how many there were any."""
        ...

    def forget_old(self, before: int) -> None:
        """Deletes what was shown before a moment."""
        ...

    def close(self) -> None: ...


def open_showings(settings: Settings) -> Showings:
    """Those of this installation: in Redis where the online store is. Nothing is
    connected to yet.

    Raises:
        InputError: the address of Redis cannot be understood.
    """
    if settings.online_store == "redis":
        from nearline.online.redis_address import connect, redis_address

        patience = min(_WAIT_SECONDS, settings.redis_timeout_seconds)
        return RedisShowings(connect(redis_address(settings), patience))
    return SqliteShowings(settings.showings)


class SqliteShowings:
    """One file, which processes of one machine share."""

    def __init__(self, path: Path, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._lock = threading.Lock()
        self._path = path
        self._connection = SqliteConnection(
            path, wait_seconds, partial(_prepare, wait_seconds=wait_seconds)
        )

    def read(self, visitor_id: str, after: int) -> Shown:
        with self._lock, self._connection.opened() as connection:
            return _shown(connection, visitor_id, after)

    def take(self, visitor_id: str, things: Sequence[Capped], now: int) -> bool:
        with self._lock, self._connection.opened() as connection:
            # From here on no other process writes: what is counted stays true.
            connection.execute("begin immediate")
            shown = _shown(connection, visitor_id, now - _longest_ms(things))
            is_free = not any(shown.reached(thing, now) for thing in things)
            if is_free:
                connection.executemany(
                    "insert into shown values (?, ?, ?)",
                    [(visitor_id, thing.key, now) for thing in things],
                )
            connection.execute("commit")
        return is_free

    def forget(self, visitors: Collection[str]) -> int:
        # Nothing is counted for whom nothing was ever shown.
        if not visitors or not self._path.exists():
            return 0
        wanted, found = sorted(visitors), 0
        with self._lock, self._connection.opened() as connection:
            for start in range(0, len(wanted), _REMOVED_TOGETHER):
                some = wanted[start : start + _REMOVED_TOGETHER]
                marks = ", ".join("?" for _ in some)
                [(count,)] = connection.execute(
                    "select count(distinct visitor_id) from shown "
                    f"where visitor_id in ({marks})",
                    some,
                )
                connection.execute(
                    f"delete from shown where visitor_id in ({marks})", some
                )
                found += count
            # Erased is gone from the journal, too.
            connection.execute("pragma wal_checkpoint(truncate)").fetchall()
        return found

    def forget_old(self, before: int) -> None:
        if not self._path.exists():
            return
        with self._lock, self._connection.opened() as connection:
            connection.execute("delete from shown where at <= ?", (before,))

    def close(self) -> None:
        with self._lock:
            self._connection.close()


# KEYS: of the visitor. ARGV: now, the longest period, how long anything can matter, a word
# of its own for what is added, then for each thing its key, how many caps it has, and of
# each shows and period.
_TAKE = """
local now, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local held = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now - longest, '+inf',
    'WITHSCORES')
local at, keys = 5, {}
while at <= #ARGV do
    local key, caps = ARGV[at], tonumber(ARGV[at + 1])
    at = at + 2
    for _ = 1, caps do
        local shows, after = tonumber(ARGV[at]), now - tonumber(ARGV[at + 1])
        at = at + 2
        local count = 0
        for place = 1, #held, 2 do
            local is_of_it = string.sub(held[place], 1, #key + 1) == key .. ' '
            if is_of_it and tonumber(held[place + 1]) > after then count = count + 1 end
        end
        if count >= shows then return 0 end
    end
    keys[#keys + 1] = key
end
for _, key in ipairs(keys) do
    redis.call('ZADD', KEYS[1], now, key .. ' ' .. ARGV[4])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[3]))
if redis.call('PTTL', KEYS[1]) < longest then redis.call('PEXPIRE', KEYS[1], longest) end
return 1
"""


class RedisShowings:
    """A sorted set for each visitor, which expires with the longest of its periods."""

    def __init__(self, client: "Redis | RedisCluster") -> None:
        # What is common to both has other types in each.
        self._client = cast(Any, client)
        self._script = self._client.register_script(_TAKE)

    def read(self, visitor_id: str, after: int) -> Shown:
        moments: dict[str, list[int]] = defaultdict(list)
        found = self._client.zrangebyscore(
            _key(visitor_id), f"({after}", "+inf", withscores=True
        )
        for member, score in found:
            moments[member.decode().partition(" ")[0]].append(int(score))
        return Shown(moments)

    def take(self, visitor_id: str, things: Sequence[Capped], now: int) -> bool:
        said: list[str | int] = []
        for thing in things:
            said += [thing.key, len(thing.caps)]
            for cap in thing.caps:
                said += [cap.shows, period_ms(cap)]
        arguments = [now, _longest_ms(things), _MOST_MS, uuid4().hex, *said]
        return bool(self._script(keys=[_key(visitor_id)], args=arguments))

    def forget(self, visitors: Collection[str]) -> int:
        return sum(self._client.delete(_key(one)) for one in sorted(visitors))

    def forget_old(self, before: int) -> None:
        """Redis does it by itself."""

    def close(self) -> None:
        self._client.close()


def forget_suppressed(settings: Settings, showings: Showings) -> int:
    """Deletes the counts of everybody on the suppression list, on each device that the
    release knows of."""
    from nearline.served.footprint import find_footprint

    return showings.forget(
        {key for entity, key in find_footprint(settings) if entity == "visitor_id"}
    )


def kept_for(things: Collection[Capped]) -> timedelta:
    """How long a count can still matter."""
    return max((cap.per for one in things for cap in one.caps), default=timedelta(0))


def _longest_ms(things: Collection[Capped]) -> int:
    return round(kept_for(things).total_seconds() * 1000)


def _shown(connection: sqlite3.Connection, visitor_id: str, after: int) -> Shown:
    moments: dict[str, list[int]] = defaultdict(list)
    for thing, at in connection.execute(
        "select thing, at from shown where visitor_id = ? and at > ? order by at",
        (visitor_id, after),
    ):
        moments[thing].append(at)
    return Shown(moments)


def _prepare(connection: sqlite3.Connection, wait_seconds: float) -> None:
    use_wal(connection, wait_seconds)
    # Outlives each process; a power cut may lose the last moment's counts, no more.
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma secure_delete = on")
    connection.executescript(_TABLES)


def _key(visitor_id: str) -> str:
    return f"nearline_shown:{visitor_id}"

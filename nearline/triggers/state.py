"""What triggers remember, and the outbox: one SQLite file, one transaction a step.

Positions in the log, facts, timers, firings and messages are committed together: a crash
leaves all of a step or nothing, so that nothing fires twice or not at all. Belongs here:
tables and how they are read and written. What is to be written is for `engine`.
"""

import json
import sqlite3
from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearline.errors import NearlineError
from nearline.log.sqlite_connection import use_wal
from nearline.settings import Settings
from nearline.triggers.machine import Armed, Fact, Mark, Past

VERSION = "1"
MOST_FACTS = 500
"""Facts of a visitor that are kept; the oldest go first."""

_TABLES = """
create table if not exists notes (name text primary key, value text not null);
create table if not exists positions (place integer primary key, next_offset text not null);
create table if not exists counts (name text primary key, value integer not null);
create table if not exists visitors (
    visitor_id text primary key, user_id text, user_at integer,
    first_seen integer, last_seen integer, past_last_seen integer
);
create index if not exists visitors_by_user on visitors (user_id);
create table if not exists facts (
    visitor_id text not null, at integer not null, event_id text not null,
    name text not null, fields text not null, is_foreign integer not null,
    primary key (visitor_id, event_id)
);
create table if not exists consents (
    visitor_id text not null, purpose text not null, is_given integer not null,
    at integer not null, event_id text not null, primary key (visitor_id, purpose)
);
create table if not exists timers (
    visitor_id text not null, trigger_name text not null, key text not null,
    fire_at integer not null, primary key (visitor_id, trigger_name, key)
);
create index if not exists timers_by_time
    on timers (fire_at, visitor_id, trigger_name, key);
create table if not exists marks (
    visitor_id text not null, trigger_name text not null, key text not null,
    cursor integer not null, last_due integer,
    primary key (visitor_id, trigger_name, key)
);
create table if not exists firings (
    firing_id text primary key, trigger_name text not null, version text not null,
    visitor_id text not null, key text not null, due integer not null,
    fired_at integer not null, occasion_id text not null, is_held_out integer not null,
    is_logged integer not null default 0
);
create index if not exists firings_by_visitor on firings (visitor_id, due);
create index if not exists firings_to_log on firings (is_logged) where is_logged = 0;
create table if not exists outbox (
    message_id text primary key, firing_id text not null, trigger_name text not null,
    visitor_id text not null, user_id text, purpose text not null,
    channel text not null, content text not null, state text not null,
    fired_at integer not null, occasion_at integer not null,
    expires_at integer not null, attempt_count integer not null default 0,
    next_at integer not null, shown_count integer not null default 0,
    done_at integer, problem text
);
create index if not exists outbox_by_visitor on outbox (visitor_id, state);
create index if not exists outbox_by_time on outbox (state, next_at);
create table if not exists decided (
    decision_id text primary key, visitor_id text not null, message_id text not null
);
create index if not exists decided_by_message on decided (message_id);
create table if not exists memberships (
    trigger_name text not null, visitor_id text not null,
    primary key (trigger_name, visitor_id)
);
create table if not exists checks (visitor_id text primary key, at integer not null,
    round integer not null);
"""

PERSONAL_TABLES = (
    "visitors",
    "facts",
    "consents",
    "timers",
    "marks",
    "firings",
    "outbox",
    "checks",
    "memberships",
    "decided",
)
"""Tables with a `visitor_id`: what goes with a person who is erased."""


@dataclass(frozen=True, slots=True)
class Timer:
    """When a trigger of a visitor is to be decided."""

    visitor_id: str
    trigger: str
    key: str
    fire_at: int


@dataclass(frozen=True, slots=True)
class Said:
    """What a visitor last said of one purpose."""

    is_given: bool
    at: int


def state_path(settings: Settings) -> Path:
    return settings.trigger_state / "state.sqlite"


def connect(path: Path, *, timeout_seconds: float = 20) -> sqlite3.Connection:
    """A connection that makes what is missing.

    Raises:
        NearlineError: the file is of a later version, or no state.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(
        path, timeout=timeout_seconds, isolation_level=None, check_same_thread=False
    )
    try:
        use_wal(connection, timeout_seconds)
        connection.execute("pragma synchronous = full")
        # Overwrites what is deleted: erased means gone from the file, too.
        connection.execute("pragma secure_delete = on")
        connection.executescript(_TABLES)
        connection.execute(
            "insert or ignore into notes values ('version', ?)", (VERSION,)
        )
        [found] = connection.execute(
            "select value from notes where name = 'version'"
        ).fetchone()
    except sqlite3.DatabaseError as problem:
        connection.close()
        raise NearlineError(
            f"{path.name} cannot be used ({problem}); with it deleted, triggers begin "
            "anew with what the log still holds"
        ) from problem
    if found != VERSION:
        connection.close()
        raise NearlineError(
            f"{path.name} is of version {found}, this is {VERSION}; use the code that "
            "wrote it"
        )
    return connection


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # Also where there was no room to commit: what was begun must not stay open.
        connection.execute("rollback")
        raise


class State:
    """Reads and writes of one connection; the caller holds the transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._facts: dict[str, list[Fact]] = {}

    def begin_step(self) -> None:
        """Forgets what was read before: another may have written, or a step failed."""
        self._facts.clear()

    def note(self, name: str) -> str | None:
        row = self._one("select value from notes where name = ?", name)
        return None if row is None else str(row[0])

    def write_note(self, name: str, value: str) -> None:
        self._do("insert or replace into notes values (?, ?)", name, value)

    def count(self, name: str, amount: int = 1) -> None:
        self._do(
            "insert into counts values (?, ?) "
            "on conflict (name) do update set value = value + excluded.value",
            name,
            amount,
        )

    def counts(self) -> dict[str, int]:
        return dict(
            self.connection.execute("select name, value from counts order by name")
        )

    def positions(self) -> dict[int, int]:
        rows = self.connection.execute("select place, next_offset from positions")
        # As text: Kinesis' numbers are longer than SQLite's.
        return {place: int(offset) for place, offset in rows}

    def move_to(self, positions: Mapping[int, int]) -> None:
        self.connection.executemany(
            "insert or replace into positions values (?, ?)",
            [(place, str(offset)) for place, offset in positions.items()],
        )

    def is_known(self, visitor_id: str) -> bool:
        return (
            self._one("select 1 from visitors where visitor_id = ?", visitor_id)
            is not None
        )

    def add_visitor(self, visitor_id: str, past: Past) -> None:
        self._do(
            "insert into visitors values (?, null, null, ?, ?, ?)",
            visitor_id,
            past.first_seen,
            past.last_seen,
            past.last_seen,
        )

    def see(self, visitor_id: str, at: int, user_id: str | None) -> None:
        self._do(
            "update visitors set first_seen = min(coalesce(first_seen, ?1), ?1), "
            "last_seen = max(coalesce(last_seen, ?1), ?1) where visitor_id = ?2",
            at,
            visitor_id,
        )
        if user_id is not None:
            self._do(
                "update visitors set user_id = ?, user_at = ? "
                "where visitor_id = ? and coalesce(user_at, -1) <= ?",
                user_id,
                at,
                visitor_id,
                at,
            )

    def past(self, visitor_id: str) -> Past:
        row = self._one(
            "select first_seen, past_last_seen from visitors where visitor_id = ?",
            visitor_id,
        )
        return Past() if row is None else Past(*row)

    def user_of(self, visitor_id: str) -> str | None:
        row = self._one("select user_id from visitors where visitor_id = ?", visitor_id)
        return None if row is None else row[0]

    def visitors_of(self, user_id: str) -> list[str]:
        rows = self.connection.execute(
            "select visitor_id from visitors where user_id = ? order by visitor_id",
            (user_id,),
        )
        return [visitor for (visitor,) in rows]

    def last_seen(self, visitors: Iterable[str]) -> dict[str, int]:
        found = {}
        for visitor in visitors:
            row = self._one(
                "select last_seen from visitors where visitor_id = ?", visitor
            )
            if row is not None and row[0] is not None:
                found[visitor] = row[0]
        return found

    def facts(self, visitor_id: str) -> list[Fact]:
        """In the order in which they happened."""
        known = self._facts.get(visitor_id)
        if known is None:
            rows = self.connection.execute(
                "select at, event_id, name, fields, is_foreign from facts "
                "where visitor_id = ? order by at, event_id",
                (visitor_id,),
            )
            known = [
                Fact(at, event_id, name, json.loads(fields), bool(is_foreign))
                for at, event_id, name, fields, is_foreign in rows
            ]
            self._facts[visitor_id] = known
        return known

    def add_fact(self, visitor_id: str, fact: Fact) -> bool:
        """False where it was known."""
        added = self.connection.execute(
            "insert into facts values (?, ?, ?, ?, ?, ?) on conflict do nothing",
            (
                visitor_id,
                fact.at,
                fact.event_id,
                fact.name,
                json.dumps(fact.fields),
                int(fact.is_foreign),
            ),
        ).rowcount
        known = self._facts.get(visitor_id)
        if added and known is not None:
            insort(known, fact)
        return bool(added)

    def forget_facts(self, visitor_id: str, before: int, activity: str) -> None:
        """Drops facts that are too old or too many; when one was last there stays."""
        facts = self.facts(visitor_id)
        spare = max(0, len(facts) - MOST_FACTS)
        if not spare and (not facts or facts[0].at >= before):
            return
        old = [
            fact
            for place, fact in enumerate(facts)
            if fact.at < before or place < spare
        ]
        seen = [fact.at for fact in old if fact.name == activity]
        if seen:
            self._do(
                "update visitors set past_last_seen = "
                "max(coalesce(past_last_seen, 0), ?) where visitor_id = ?",
                max(seen),
                visitor_id,
            )
        self.connection.executemany(
            "delete from facts where visitor_id = ? and event_id = ?",
            [(visitor_id, fact.event_id) for fact in old],
        )
        self._facts.pop(visitor_id, None)

    def say(
        self, visitor_id: str, purpose: str, is_given: bool, at: int, event_id: str
    ) -> None:
        """Notes what was said of a purpose, unless something later was said already."""
        self._do(
            "insert into consents values (?, ?, ?, ?, ?) "
            "on conflict (visitor_id, purpose) do update set "
            "is_given = excluded.is_given, at = excluded.at, "
            "event_id = excluded.event_id "
            "where (excluded.at, excluded.event_id) > (consents.at, consents.event_id)",
            visitor_id,
            purpose,
            int(is_given),
            at,
            event_id,
        )

    def said(self, visitor_id: str, purpose: str) -> Said | None:
        row = self._one(
            "select is_given, at from consents where visitor_id = ? and purpose = ?",
            visitor_id,
            purpose,
        )
        return None if row is None else Said(bool(row[0]), row[1])

    def set_timer(self, timer: Timer) -> None:
        self._do(
            "insert or replace into timers values (?, ?, ?, ?)",
            timer.visitor_id,
            timer.trigger,
            timer.key,
            timer.fire_at,
        )

    def drop_timer(self, visitor_id: str, trigger: str, key: str) -> None:
        self._do(
            "delete from timers where visitor_id = ? and trigger_name = ? and key = ?",
            visitor_id,
            trigger,
            key,
        )

    def next_timer(self, until: int) -> Timer | None:
        """The first timer up to a moment (inclusive)."""
        row = self._one(
            "select visitor_id, trigger_name, key, fire_at from timers "
            "where fire_at <= ? order by fire_at, visitor_id, trigger_name, key limit 1",
            until,
        )
        return None if row is None else Timer(*row)

    def mark(self, visitor_id: str, trigger: str, key: str) -> Mark | None:
        row = self._one(
            "select cursor, last_due from marks "
            "where visitor_id = ? and trigger_name = ? and key = ?",
            visitor_id,
            trigger,
            key,
        )
        return None if row is None else Mark(*row)

    def set_mark(self, visitor_id: str, trigger: str, key: str, mark: Mark) -> None:
        self._do(
            "insert or replace into marks values (?, ?, ?, ?, ?)",
            visitor_id,
            trigger,
            key,
            mark.cursor,
            mark.last_due,
        )

    def fired_count(self, visitor_id: str, trigger: str | None, after: int) -> int:
        """Firings of a visitor, of one trigger or of all, that were due after a moment."""
        row = self._one(
            "select count(*) from firings where visitor_id = ?1 and due > ?2 "
            "and (?3 is null or trigger_name = ?3)",
            visitor_id,
            after,
            trigger,
        )
        assert row is not None
        return int(row[0])

    def add_firing(
        self,
        firing_id: str,
        trigger: str,
        version: str,
        visitor_id: str,
        armed: Armed,
        fired_at: int,
        is_held_out: bool,
    ) -> bool:
        """False where it had been noted before."""
        return bool(
            self.connection.execute(
                "insert into firings values (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) "
                "on conflict do nothing",
                (
                    firing_id,
                    trigger,
                    version,
                    visitor_id,
                    armed.key,
                    armed.due,
                    fired_at,
                    armed.occasion.event_id,
                    int(is_held_out),
                ),
            ).rowcount
        )

    def add_message(self, row: Mapping[str, Any]) -> None:
        names = ", ".join(row)
        marks = ", ".join("?" for _ in row)
        self.connection.execute(
            f"insert into outbox ({names}) values ({marks}) on conflict do nothing",
            tuple(row.values()),
        )

    def note_decided(self, decision_id: str, visitor_id: str, message_id: str) -> None:
        """A decision shows a message: what names the one then tells of the other."""
        self._do(
            "insert into decided select ?1, ?2, ?3 where exists "
            "(select 1 from outbox where message_id = ?3 and visitor_id = ?2) "
            "on conflict do nothing",
            decision_id,
            visitor_id,
            message_id,
        )

    def decided_message(self, decision_id: str) -> str | None:
        """The message that a decision showed, if it did one."""
        row = self._one(
            "select message_id from decided where decision_id = ?", decision_id
        )
        return None if row is None else str(row[0])

    def withdraw(self, visitor_id: str, trigger: str, before: int, now: int) -> int:
        """Takes back what is not on its way of occasions before a moment."""
        return self.connection.execute(
            "update outbox set state = 'withdrawn', done_at = ? where visitor_id = ? "
            "and trigger_name = ? and state = 'waiting' and occasion_at < ?",
            (now, visitor_id, trigger, before),
        ).rowcount

    def members(self, trigger: str) -> set[str]:
        """Visitors of whom a segment or feature held when it was last looked at."""
        rows = self.connection.execute(
            "select visitor_id from memberships where trigger_name = ?", (trigger,)
        )
        return {visitor for (visitor,) in rows}

    def is_member(self, trigger: str, visitor_id: str) -> bool:
        sql = "select 1 from memberships where trigger_name = ? and visitor_id = ?"
        return self._one(sql, trigger, visitor_id) is not None

    def set_members(
        self, trigger: str, visitors: Iterable[str], are_members: bool
    ) -> None:
        sql = "delete from memberships where trigger_name = ? and visitor_id = ?"
        if are_members:
            sql = "insert or ignore into memberships values (?, ?)"
        self.connection.executemany(sql, [(trigger, one) for one in visitors])

    def forget_people(self, visitors: Iterable[str], users: Iterable[str]) -> int:
        """Deletes all rows of these visitors and of the visitors of these users."""
        gone = set(visitors)
        for user in users:
            gone |= set(self.visitors_of(user))
            rows = self.connection.execute(
                "select visitor_id from outbox where user_id = ?", (user,)
            )
            gone |= {visitor for (visitor,) in rows}
        removed = 0
        for visitor in sorted(gone):
            for table in PERSONAL_TABLES:
                removed += self.connection.execute(
                    f"delete from {table} where visitor_id = ?", (visitor,)
                ).rowcount
        self._facts.clear()
        return removed

    def keep_triggers(self, names: Sequence[str]) -> None:
        """Drops timers and memberships of triggers that there are no longer."""
        marks = ", ".join("?" for _ in names) or "''"
        for table in ("timers", "memberships"):
            self.connection.execute(
                f"delete from {table} where trigger_name not in ({marks})", tuple(names)
            )

    def forget_old(self, done_before: int, seen_before: int) -> None:
        """Drops firings and messages that are over, and visitors long not seen."""
        self._do(
            "delete from outbox where done_at < ? or "
            "(state = 'waiting' and expires_at < ?)",
            done_before,
            done_before,
        )
        self._do(
            "delete from decided where message_id not in "
            "(select message_id from outbox)"
        )
        self._do(
            "delete from firings where due < ? and fired_at < ? and is_logged = 1",
            done_before,
            done_before,
        )
        rows = self.connection.execute(
            "select visitor_id from visitors where last_seen < ? limit 1000",
            (seen_before,),
        ).fetchall()
        self.forget_people([visitor for (visitor,) in rows], [])

    def _do(self, sql: str, *values: Any) -> None:
        self.connection.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self.connection.execute(sql, values).fetchone()
        return row

"""Follows the event log and keeps triggers going; gets their messages out beside it.

Belongs here: where the log is read from, the clock, releases, files and lists that change
meanwhile, and the thread that delivers. What fires is decided by `engine`.
"""

import heapq
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path

from nearline.errors import InputError
from nearline.file_stamps import FileStamp, file_stamp
from nearline.landing.log_positions import log_identity
from nearline.live.arrived_facts import ArrivedFacts
from nearline.locking import file_lock
from nearline.log import (
    EVENTS,
    EventLog,
    LogRecord,
    NewRecord,
    open_log,
)
from nearline.log.patience import LONGEST_WAIT_SECONDS, try_until_answered
from nearline.privacy.suppression import suppressed_keys
from nearline.settings import Settings
from nearline.triggers.arriving import OWN_SOURCE, read_events
from nearline.triggers.definitions import OnSegment
from nearline.triggers.deliveries import Deliverer
from nearline.triggers.engine import Engine
from nearline.triggers.features import LiveFeatures, needed_services
from nearline.triggers.messages import fired_event
from nearline.triggers.moments import milliseconds
from nearline.triggers.reading import read_triggers
from nearline.triggers.released import Released
from nearline.triggers.state import State, connect, state_path, transaction

_LOGGER = logging.getLogger(__name__)

MAX_RECORDS = 2_000
"""Records of a partition and step: what is done again after a crash."""

SETTLING = timedelta(seconds=2)
"""How long the door may take from an event's arrival to the log. Before that, time does
not pass on its own: an event that is on its way comes before what is due after it."""

POLL_SECONDS = 0.2
_LOOK_EVERY_SECONDS = 1.0
_KEEP_DONE = timedelta(days=30)
_KEEP_VISITORS = timedelta(days=400)
_LOG = "log"


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at the log did. `fired` counts firings, held out or not."""

    records: int = 0
    events: int = 0
    fired: int = 0
    checked: int = 0

    @property
    def is_idle(self) -> bool:
        return not (self.records or self.fired or self.checked)


class Follower:
    """One home's triggers; one at a time (`only_one`). `close` it.

    Args:
        clock: the time now, with zone.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_records: int = MAX_RECORDS,
    ) -> None:
        """
        Raises:
            InputError: a trigger cannot be read, or nothing is published yet.
        """
        self._settings = settings
        self._clock = clock
        self._max_records = max_records
        self._definitions = _stamps(settings.triggers)
        self.triggers = read_triggers(settings.triggers, settings.dbt_project)
        services = needed_services(self.triggers)
        if not settings.published.exists():
            raise InputError("nothing is published yet; run `nearline run` first")
        self._connection = connect(state_path(settings))
        self._state = State(self._connection)
        self._log: EventLog | None = None
        self._features = LiveFeatures(settings, services) if services else None
        self._facts: ArrivedFacts | None = None
        self._released: Released | None = None
        self._suppression: FileStamp | None = None
        self._suppressed: frozenset[str] = frozenset()
        self._looked_at = float("-inf")
        self._forgot_on: object = None

    def close(self) -> None:
        for opened in (self._log, self._facts, self._released, self._features):
            if opened is not None:
                opened.close()
        self._connection.close()

    def step(self) -> Step:
        """Reads what there is, decides what is due, and writes the firings into the log.

        Raises:
            LogUnavailableError: the log is away; nothing was changed that is not to be.
        """
        self._look_around()
        facts, released = self._follow_release()
        log = self._opened_log()
        if self._features is not None:
            self._features.open()
        # Before the log is read: what arrives from here on is not settled.
        now = self._clock()
        records, is_all = self._read(log)
        # Of who is suppressed, not even a word on consent is kept.
        events = [
            event
            for event in read_events(facts, records, now)
            if not {event.visitor_id, event.user_id} & self._suppressed
        ]
        settled = milliseconds(now - SETTLING) if is_all else None
        self._state.begin_step()
        engine = Engine(self._state, self.triggers, released, self._features)
        with transaction(self._connection):
            self._state.keep_triggers(list(self.triggers.by_name))
            engine.run(events, settled)
            checked = engine.check_features(milliseconds(now)) if is_all else 0
            self._compare_segments(engine, released, milliseconds(now))
            self._state.move_to(_next_offsets(records))
        self._write_firings(log)
        return Step(len(records), len(events), engine.fired_count, checked)

    def counts(self) -> dict[str, int]:
        """What happened since the state began, by name."""
        return self._state.counts()

    def _opened_log(self) -> EventLog:
        if self._log is None:
            if self._settings.log_kind == "sqlite":
                self._settings.log.mkdir(parents=True, exist_ok=True)
            self._log = open_log(self._settings, EVENTS)
            identity = log_identity(self._settings)
            if self._state.note(_LOG) != identity:
                with transaction(self._connection):
                    # Offsets of another log say nothing of this one's.
                    self._connection.execute("delete from positions")
                    self._state.write_note(_LOG, identity)
        return self._log

    def _read(self, log: EventLog) -> tuple[list[LogRecord], bool]:
        """Records in the order of their arrival, and whether those were all.

        Of several partitions, none is read beyond the time up to which all are.
        """
        positions = self._state.positions()
        parts: list[list[LogRecord]] = []
        ends = []
        for partition in log.partitions():
            found = log.read(partition, positions.get(partition, 0), self._max_records)
            parts.append(found)
            if len(found) == self._max_records:
                ends.append((found[-1].appended_at, partition))
        until, last = min(ends, default=(None, None))
        if until is not None:
            # Cut, not picked: a record that is left out is read by the next step.
            parts = [
                part
                if part and part[0].partition == last
                else list(takewhile(lambda record: record.appended_at < until, part))
                for part in parts
            ]
        merged = heapq.merge(*parts, key=lambda record: record.appended_at)
        return list(merged), until is None

    def _follow_release(self) -> tuple[ArrivedFacts, Released]:
        release = self._settings.published.resolve()
        if self._released is None or release != self._released.release:
            facts = ArrivedFacts(self._settings, release)
            for opened in (self._facts, self._released):
                if opened is not None:
                    opened.close()
            self._facts, self._released = facts, Released(release)
        assert self._facts is not None
        stamp = file_stamp(self._settings.suppression)
        if stamp != self._suppression:
            self._facts.follow_suppression()
            visitors = suppressed_keys(self._settings, "visitor")
            users = suppressed_keys(self._settings, "user")
            self._suppressed = frozenset([*visitors, *users])
            with transaction(self._connection):
                self._state.forget_people(visitors, users)
            # Erased is gone from the journal, too.
            self._connection.execute("pragma wal_checkpoint(truncate)").fetchall()
            self._suppression = stamp
        return self._facts, self._released

    def _look_around(self) -> None:
        """Takes up changed definitions, and forgets what is old once an hour."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_EVERY_SECONDS:
            return
        self._looked_at = now
        stamps = _stamps(self._settings.triggers)
        if stamps != self._definitions:
            self._definitions = stamps
            try:
                triggers = read_triggers(
                    self._settings.triggers, self._settings.dbt_project
                )
            except InputError as problem:
                _LOGGER.warning("the triggers stay as they were: %s", problem)
            else:
                self.triggers = triggers
                services = needed_services(triggers)
                if self._features is not None:
                    self._features.close()
                self._features = (
                    LiveFeatures(self._settings, services) if services else None
                )
        moment = self._clock()
        hour = moment.replace(minute=0, second=0, microsecond=0)
        if hour != self._forgot_on:
            keep = timedelta(milliseconds=self.triggers.firings_memory_ms())
            with transaction(self._connection):
                self._state.forget_old(
                    milliseconds(moment - max(_KEEP_DONE, keep)),
                    milliseconds(moment - _KEEP_VISITORS),
                )
            self._forgot_on = hour

    def _compare_segments(self, engine: Engine, released: Released, now: int) -> None:
        """Compares segments with those of the release before, once a release."""
        for trigger in self.triggers.triggers:
            if not isinstance(trigger.on, OnSegment):
                continue
            segment = trigger.on.segment
            name, seen = f"segment.{trigger.name}", f"{released.release.name}/{segment}"
            before = self._state.note(name)
            if before == seen:
                continue
            members = released.segment_members(segment)
            were = self._state.members(trigger.name)
            are = {one for change in members.values() for one in change.visitors}
            # The first look at a segment finds its members; nobody entered.
            if before is not None and before.endswith(f"/{segment}"):
                changes = members
                if trigger.on.is_leaving:
                    changes = released.former_members(segment)
                # By visitors: a person who is merged with another has not changed.
                moved = [
                    change
                    for change in changes.values()
                    if bool(were.intersection(change.visitors)) is trigger.on.is_leaving
                ]
                engine.change_segment(trigger, moved, now)
            self._state.set_members(trigger.name, were - are, False)
            self._state.set_members(trigger.name, are - were, True)
            self._state.write_note(name, seen)

    def _write_firings(self, log: EventLog) -> None:
        """Appends firings to the log. After a crash some come again, with the id that
        they had, and count once."""
        rows = self._connection.execute(
            "select firing_id, trigger_name, version, visitor_id, key, due, fired_at, "
            "is_held_out from firings where is_logged = 0 order by fired_at, firing_id "
            "limit 1000"
        ).fetchall()
        if not rows:
            return
        events = [
            fired_event(
                firing,
                self.triggers.by_name.get(name),
                name=name,
                version=version,
                visitor_id=visitor,
                key=key,
                due=due,
                fired_at=fired_at,
                is_held_out=bool(is_held_out),
                source=OWN_SOURCE,
            )
            for firing, name, version, visitor, key, due, fired_at, is_held_out in rows
        ]
        log.append(
            [NewRecord(one["visitor_id"], json.dumps(one).encode()) for one in events]
        )
        with transaction(self._connection):
            self._connection.executemany(
                "update firings set is_logged = 1 where firing_id = ?",
                [(one["event_id"],) for one in events],
            )


@contextmanager
def only_one(
    settings: Settings, on_wait: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Holds the home's triggers: of several processes one works, the others wait."""
    path = settings.trigger_state / "run.lock"
    done = threading.Event()

    def say() -> None:
        if not done.wait(1):
            on_wait()

    threading.Thread(target=say, daemon=True).start()
    try:
        with file_lock(path):
            done.set()
            yield
    finally:
        done.set()


class Deliveries:
    """Delivers in a thread of its own, so that a slow receiver holds up no trigger."""

    def __init__(
        self, settings: Settings, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="deliveries", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def stop(self) -> None:
        """Lets what is on its way arrive, and ends."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                deliver_due(self._settings, self._clock, self._stopping, self._wake)
            except Exception as problem:
                # A file that is away for a moment must not end all deliveries.
                _LOGGER.error("deliveries wait: %s", type(problem).__name__)
                self._stopping.wait(LONGEST_WAIT_SECONDS)


def deliver_due(
    settings: Settings,
    clock: Callable[[], float],
    stopping: threading.Event | None = None,
    wake: threading.Event | None = None,
) -> int:
    """Sends what is due; with `stopping`, goes on until that is set.

    Returns how many messages were tried.
    """
    count = 0
    with (
        closing(connect(state_path(settings))) as connection,
        closing(Deliverer(settings, connection, clock)) as deliverer,
        closing(Released(settings.published.resolve())) as released,
    ):
        deliverer.recover()
        while True:
            tried = deliverer.deliver(released)
            count += tried
            if stopping is None:
                if not tried:
                    return count
                continue
            if stopping.is_set() or settings.published.resolve() != released.release:
                return count
            if not tried and wake is not None:
                wake.wait(POLL_SECONDS)
                wake.clear()


def follow(
    follower: Follower,
    stopping: threading.Event,
    *,
    until_idle: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> None:
    """Steps until `stopping` is set, or nothing is left to do.

    Where the log is away, it is tried again after 0.2 to 10 seconds.
    """
    while (
        step := try_until_answered(follower.step, stopping, POLL_SECONDS)
    ) is not None:
        on_step(step)
        if step.is_idle:
            if until_idle:
                return
            stopping.wait(POLL_SECONDS)


def _stamps(folder: Path) -> dict[str, FileStamp | None]:
    return {path.name: file_stamp(path) for path in sorted(folder.glob("*.yml"))}


def _next_offsets(records: Sequence[LogRecord]) -> dict[int, int]:
    return {record.partition: record.offset + 1 for record in records}

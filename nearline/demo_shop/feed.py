"""Follows the event log and tells what arrives, for the live view.

It reads what is kept, not what was sent: what is seen here is what later reaches the
tables. Only what came since the shop was opened is told and counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from nearline.demo_shop.goods import euros
from nearline.log import DEADLETTERS, EventLog, LogRecord, LogUnavailableError

MOST_KEPT = 200

_POLL_SECONDS = 0.3
_SECONDS_AFTER_FAILURE = 2.0
_READ_LIMIT = 500
# Each message also tells the server whether the page is still there.
_SECONDS_OF_SILENCE = 10.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event or dead letter, as the live view shows it."""

    received_at: str
    name: str
    subject: str
    """What it was about: an item's name, a search term, or the page."""
    amount: str
    """Money, seconds or a share, where the event has one."""
    visitor_id: str
    is_refused: bool
    field: str
    reason: str
    kept: Mapping[str, Any]
    """The record as it lies in the log."""


@dataclass(frozen=True, slots=True)
class News:
    """What a page has to add; `is_anew`: what it shows has to go first."""

    is_anew: bool
    accepted_count: int
    refused_count: int
    problem: str
    arrivals: Sequence[Arrival] = field(default_factory=list)


class Feed:
    """Reads the topics in the background and keeps the latest arrivals."""

    def __init__(self, logs: Sequence[EventLog], item_names: Mapping[str, str]) -> None:
        self._logs = logs
        self._item_names = item_names
        self._positions: list[dict[int, int]] | None = None
        self._latest: deque[Arrival] = deque(maxlen=MOST_KEPT)
        self._accepted_count = 0
        self._refused_count = 0
        self._problem = ""
        self._version = 0
        self._is_closed = False
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Reads until the block ends, and closes the logs."""
        # At once: what is sent from now on has to be seen.
        await self._read_once()
        reading = asyncio.create_task(self._read_on())
        try:
            yield
        finally:
            await self.close()
            await reading
            for log in self._logs:
                await asyncio.to_thread(log.close)

    async def close(self) -> None:
        """Ends all that follow, so that the server need not wait for open pages."""
        async with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    async def follow(
        self, silence: float = _SECONDS_OF_SILENCE
    ) -> AsyncIterator[News | None]:
        """First the latest arrivals, then news as it comes; None after a silence."""
        version = -1
        seen_count = 0
        while not self._is_closed:
            if version != self._version:
                is_anew = version < 0
                count = self._accepted_count + self._refused_count
                fresh = len(self._latest) if is_anew else count - seen_count
                version, seen_count = self._version, count
                yield News(
                    is_anew,
                    self._accepted_count,
                    self._refused_count,
                    self._problem,
                    list(self._latest)[-fresh:] if fresh else [],
                )
                continue
            try:
                async with asyncio.timeout(silence), self._changed:
                    await self._changed.wait_for(
                        lambda: self._is_closed or version != self._version  # noqa: B023
                    )
            except TimeoutError:
                yield None

    async def _read_on(self) -> None:
        while not self._is_closed:
            await self._pause(
                _SECONDS_AFTER_FAILURE if self._problem else _POLL_SECONDS
            )
            await self._read_once()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._is_closed)
        except TimeoutError:
            return

    async def _read_once(self) -> None:
        try:
            fresh = await asyncio.to_thread(self._read)
            problem = ""
        except LogUnavailableError:
            fresh, problem = [], "The event log cannot be read now; trying again."
        if not fresh and problem == self._problem:
            return
        async with self._changed:
            self._latest.extend(fresh)
            refused_count = sum(arrival.is_refused for arrival in fresh)
            self._refused_count += refused_count
            self._accepted_count += len(fresh) - refused_count
            self._problem = problem
            self._version += 1
            self._changed.notify_all()

    def _read(self) -> list[Arrival]:
        if self._positions is None:
            self._positions = [dict(log.ends()) for log in self._logs]
            return []
        records: list[tuple[LogRecord, str]] = []
        for log, positions in zip(self._logs, self._positions, strict=True):
            for partition, start in positions.items():
                for record in log.read(partition, start, _READ_LIMIT):
                    positions[partition] = record.offset + 1
                    records.append((record, log.topic))
        records.sort(key=lambda found: found[0].appended_at)
        return [describe(record, topic, self._item_names) for record, topic in records]


def describe(record: LogRecord, topic: str, item_names: Mapping[str, str]) -> Arrival:
    """A record of either topic as the live view shows it."""
    try:
        kept = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        kept = None
    if not isinstance(kept, dict):
        # Somebody else writes to this topic; landing refuses it, too.
        return Arrival("", "unreadable", "", "", "", True, "record", "is not JSON", {})
    is_refused = topic == DEADLETTERS
    inner = kept.get("fields") if is_refused else None
    event: Mapping[str, Any] = inner if isinstance(inner, dict) else kept
    return Arrival(
        received_at=_text(kept.get("received_at")),
        name=_text(kept.get("event_name")) or "without a name",
        subject=_subject(event, item_names),
        amount=_amount(event),
        visitor_id=_text(event.get("visitor_id")),
        is_refused=is_refused,
        field=_text(kept.get("field")) if is_refused else "",
        reason=_text(kept.get("reason")) if is_refused else "",
        kept=kept,
    )


def _subject(event: Mapping[str, Any], item_names: Mapping[str, str]) -> str:
    item_ids = [event.get("item_id")]
    items = event.get("items")
    if isinstance(items, list):
        item_ids += [item.get("item_id") for item in items if isinstance(item, dict)]
    names = [
        item_names.get(item_id, item_id)
        for item_id in item_ids
        if isinstance(item_id, str)
    ]
    if names:
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    properties = event.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("slot"), str):
        return str(properties["slot"])
    for name, form in _SUBJECTS:
        value = event.get(name)
        if isinstance(value, str) and value:
            return form.format(value)
    return ""


# The first of these that an event has.
_SUBJECTS = (
    ("search_term", "“{}”"),
    ("content_id", "{}"),
    ("link_path", "to {}"),
    ("page_path", "{}"),
)


def _amount(event: Mapping[str, Any]) -> str:
    for name, form in _AMOUNTS:
        value = event.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return form(value)
    return ""


_AMOUNTS: tuple[tuple[str, Callable[[Any], str]], ...] = (
    ("revenue_cents", lambda cents: euros(int(cents))),
    ("engaged_seconds", lambda s: f"{s:.1f} s" if s >= 0.1 else "<0.1 s"),
    ("scroll_rate", lambda rate: f"{rate:.0%}"),
    ("price_cents", lambda cents: euros(int(cents))),
)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""

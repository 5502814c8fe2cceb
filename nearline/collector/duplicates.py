"""Recently accepted events of one worker, so that a sender that tries again is told so.

A first line only: another worker or a restart may let an event through once more, and
the tables count it once all the same.
"""

from collections.abc import Iterable

import orjson

from nearline.log.protocol import EventLog, LogUnavailableError

WINDOW_EVENTS = 200_000
_SEED_RECORDS = 20_000
_READ_RECORDS = 2_000
_LARGEST_COUNTED_OFFSET = 2**63


class RecentEvents:
    """The last so many (source, event id) that are durably in the log."""

    def __init__(self, size: int = WINDOW_EVENTS) -> None:
        self._size = size
        # A dictionary keeps the order in which its keys came.
        self._seen: dict[tuple[str, str], None] = {}

    def __contains__(self, event: tuple[str, str]) -> bool:
        return event in self._seen

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, events: Iterable[tuple[str, str]]) -> None:
        for event in events:
            self._seen[event] = None
        while len(self._seen) > self._size:
            del self._seen[next(iter(self._seen))]


def read_tail(log: EventLog) -> list[tuple[str, str]]:
    """(source, event id) of the newest records of the topic `events`; none of a log
    that is away."""
    events = []
    try:
        ends = log.ends()
        for partition, end in ends.items():
            if end > _LARGEST_COUNTED_OFFSET:
                # Kinesis numbers its records with gaps, and looking for a place between
                # two of them is dear: its window starts empty.
                continue
            start = max(0, end - _SEED_RECORDS // len(ends))
            while start < end:
                records = log.read(partition, start, _READ_RECORDS)
                if not records:
                    break
                for record in records:
                    event = _identity(record.value)
                    if event is not None:
                        events.append(event)
                start = records[-1].offset + 1
    except LogUnavailableError:
        return events
    return events


def _identity(value: bytes) -> tuple[str, str] | None:
    try:
        event = orjson.loads(value)
        return str(event["source"]), str(event["event_id"])
    except (orjson.JSONDecodeError, TypeError, KeyError):
        # Written by somebody else than the collector.
        return None

"""What late events did to sessions, in plain Python, from the definitions.

Belongs here: counts by source and day, worked out event after event. Sessions are those
of `reference_sessions`; nothing is asserted.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from tests.dbt.reference_sessions import (
    GAP,
    SOURCES_WITH_SESSIONS,
    SOURCES_WITHOUT_SESSIONS,
    Session,
    parse,
    sessionize,
)

Row = dict[str, Any]
SourceDay = tuple[str, date]

LATE = timedelta(minutes=10)
# Longest delay that is still in the bucket.
BUCKETS = {
    "1: up to 1 minute": timedelta(minutes=1),
    "2: up to 10 minutes": timedelta(minutes=10),
    "3: up to 1 hour": timedelta(hours=1),
    "4: up to 1 day": timedelta(days=1),
    "5: more than 1 day": timedelta.max,
}


def delay(event: Row) -> timedelta:
    return parse(event["received_at"]) - parse(event["occurred_at"])


def arrivals(events: Iterable[Row]) -> Counter[tuple[str, date, str, bool]]:
    """Deduplicated events by source, day of arrival, bucket and whether late."""
    counts: Counter[tuple[str, date, str, bool]] = Counter()
    for event in _of_sessions(events):
        bucket = next(name for name, most in BUCKETS.items() if delay(event) <= most)
        received_date = parse(event["received_at"]).date()
        counts[event["source"], received_date, bucket, delay(event) > LATE] += 1
    return counts


def reopening_count(events: Iterable[Row]) -> int:
    """How often an event arrived when all before it had been there for over a gap."""
    arrived = sorted(parse(event["received_at"]) for event in events)
    return sum(later - earlier > GAP for earlier, later in pairwise(arrived))


def is_split_by_lateness(events: Iterable[Row]) -> bool:
    """Whether a pipeline that drops late events makes several sessions of one."""
    return len(sessionize(event for event in events if delay(event) <= LATE)) > 1


def daily(events: Sequence[Row]) -> dict[SourceDay, Counter[str]]:
    """The counts of `ops_lateness_daily`; what is missing in a counter is 0."""
    counts: dict[SourceDay, Counter[str]] = defaultdict(Counter)
    sessions = sessionize(events)
    placed = {event_id for session in sessions for event_id in session.event_ids}
    for event in _of_sessions(events):
        day = counts[event["source"], parse(event["occurred_at"]).date()]
        day["event_count"] += 1
        day["late_event_count"] += delay(event) > LATE
        has_consent = bool(event.get("consent_analytics"))
        day["set_aside_event_count"] += has_consent and event["event_id"] not in placed
    by_id = {event["event_id"]: event for event in events}
    for session in sessions:
        held = _in_order(session, by_id)
        day = counts[held[0]["source"], session.started_at.date()]
        day["session_count"] += 1
        if _has_own_session(held[0]):
            continue
        reopenings = reopening_count(held)
        day["measured_session_count"] += 1
        day["reopening_count"] += reopenings
        day["reopened_session_count"] += reopenings > 0
        day["split_session_count"] += is_split_by_lateness(held)
    return counts


def _of_sessions(events: Iterable[Row]) -> Iterable[Row]:
    return (e for e in events if e["source"] not in SOURCES_WITHOUT_SESSIONS)


def _in_order(session: Session, by_id: dict[str, Row]) -> list[Row]:
    return sorted(
        (by_id[event_id] for event_id in session.event_ids),
        key=lambda event: (parse(event["occurred_at"]), event["event_id"]),
    )


def _has_own_session(event: Row) -> bool:
    return event["source"] in SOURCES_WITH_SESSIONS and bool(
        event.get("source_session_id")
    )

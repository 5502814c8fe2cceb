"""Sessions by the rules of the architecture page, in plain Python.

A second opinion on the SQL: written from the rules, event after event, without windows
or joins. Belongs here: nothing that a test asserts.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

GAP = timedelta(minutes=30)
LONGEST = timedelta(days=3)
SOURCES_WITH_SESSIONS = frozenset({"rees46", "snowplow", "ga4", "rudderstack", "adobe"})
SOURCES_WITHOUT_SESSIONS = frozenset({"crm"})
SOURCES_WITH_HEARTBEATS = frozenset({"snowplow"})
HEARTBEAT = timedelta(seconds=10)
MIN_VISIT = timedelta(seconds=5)
LATE_ALLOWED = {"snowplow": timedelta(days=3)}

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Session:
    """One session: which events it holds and what they add up to."""

    event_ids: frozenset[str]
    visitor_id: str
    source: str
    source_session_id: str | None
    started_at: datetime
    ended_at: datetime
    page_view_count: int
    item_view_count: int
    add_to_cart_count: int
    purchase_count: int
    engaged_milliseconds: int
    revenue_cents: int
    is_bounce: bool | None
    is_bot: bool


def parse(moment: str) -> datetime:
    """Naive UTC, as the warehouse has it."""
    return datetime.fromisoformat(moment.removesuffix("Z"))


def deduplicate(lines: Iterable[Row]) -> list[Row]:
    """Every event once, as it was received first."""
    first: dict[str, Row] = {}
    for line in lines:
        known = first.get(line["event_id"])
        if known is None or parse(line["received_at"]) < parse(known["received_at"]):
            first[line["event_id"]] = line
    return list(first.values())


def sessionize(events: Iterable[Row], gap: timedelta = GAP) -> list[Session]:
    """Sessions of deduplicated events that carry consent and were sent in time."""
    scopes: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for event in events:
        if (
            event.get("consent_analytics")
            and event["source"] not in SOURCES_WITHOUT_SESSIONS
            and not _sent_too_late(event)
        ):
            scopes[_scope(event)].append(event)
    sessions = []
    for (kind, _), scoped in scopes.items():
        scoped.sort(key=lambda e: (parse(e["occurred_at"]), e["event_id"]))
        run: list[Row] = []
        for event in scoped:
            if run and kind == "visitor" and _idle(run[-1], event) > gap:
                sessions.append(_summarize(run))
                run = []
            run.append(event)
        sessions.append(_summarize(run))
    return sessions


def engaged_milliseconds(session: Iterable[Row]) -> dict[str, int]:
    """Engaged time by event id of one session's events; the others measured none."""
    engaged: dict[str, int] = {}
    pinged: dict[str, set[int]] = defaultdict(set)
    for event in sorted(session, key=_arrival):
        if not _is_ping(event):
            if "engaged_seconds" in event:
                engaged[event["event_id"]] = round(event["engaged_seconds"] * 1000)
            continue
        page, earned = event.get("page_view_id"), timedelta()
        if page is not None:
            bucket = (_device_time(event) - _EPOCH) // HEARTBEAT
            if not pinged[page]:
                earned = MIN_VISIT
            elif bucket not in pinged[page]:
                earned = HEARTBEAT
            pinged[page].add(bucket)
        engaged[event["event_id"]] = earned // timedelta(milliseconds=1)
    return engaged


def page_views(session: Iterable[Row]) -> set[str]:
    """Ids of one session's events that count as a page view."""
    counted: set[str] = set()
    pages: set[str] = set()
    for event in sorted(session, key=_arrival):
        is_view = event["event_name"] == "page_view"
        page = event.get("page_view_id")
        if event["source"] in SOURCES_WITH_HEARTBEATS and page is not None:
            is_view = (is_view or _is_ping(event)) and page not in pages
            if is_view:
                pages.add(page)
        if is_view:
            counted.add(event["event_id"])
    return counted


def _arrival(event: Row) -> tuple[datetime, datetime, str]:
    return (
        parse(event["received_at"]),
        parse(event["occurred_at"]),
        event["event_id"],
    )


def _is_ping(event: Row) -> bool:
    return (
        event["source"] in SOURCES_WITH_HEARTBEATS
        and event["event_name"] == "user_engagement"
        and "engaged_seconds" not in event
    )


def _device_time(event: Row) -> datetime:
    ahead = timedelta(seconds=event.get("clock_skew_seconds", 0))
    return parse(event["occurred_at"]) + ahead


def _sent_too_late(event: Row) -> bool:
    allowed = LATE_ALLOWED.get(event["source"])
    if allowed is None or "sent_at" not in event:
        return False
    return parse(event["sent_at"]) - parse(event["occurred_at"]) > allowed


def _scope(event: Row) -> tuple[str, str]:
    if event["source"] in SOURCES_WITH_SESSIONS and event.get("source_session_id"):
        return f"source {event['source']}", event["source_session_id"]
    return "visitor", event["visitor_id"]


def _idle(before: Row, after: Row) -> timedelta:
    return parse(after["occurred_at"]) - parse(before["occurred_at"])


def _summarize(run: list[Row]) -> Session:
    first_at = parse(run[0]["occurred_at"])
    kept = [e for e in run if parse(e["occurred_at"]) <= first_at + LONGEST]
    beyond = run[len(kept) :]

    def count(name: str) -> int:
        return sum(event["event_name"] == name for event in kept)

    measured = engaged_milliseconds(kept)
    engaged = sum(measured.values())
    pages, purchases = len(page_views(kept)), count("purchase")
    is_bounce = None
    if pages or measured or purchases:
        is_bounce = engaged < 10_000 and pages < 2 and not purchases
    return Session(
        event_ids=frozenset(event["event_id"] for event in kept),
        visitor_id=run[0]["visitor_id"],
        source=run[0]["source"],
        source_session_id=next(
            (e["source_session_id"] for e in kept if "source_session_id" in e), None
        ),
        started_at=first_at - MIN_VISIT if _is_ping(run[0]) else first_at,
        ended_at=parse(kept[-1]["occurred_at"]),
        page_view_count=pages,
        item_view_count=count("view_item"),
        add_to_cart_count=count("add_to_cart"),
        purchase_count=purchases,
        engaged_milliseconds=engaged,
        revenue_cents=sum(
            event.get("revenue_cents", 0)
            for event in kept
            if event["event_name"] == "purchase"
        ),
        is_bounce=is_bounce,
        is_bot=any(event.get("bot_reason") for event in run)
        or _is_machine(run, pages + len(page_views(beyond))),
    )


def _is_machine(run: list[Row], pages: int) -> bool:
    hours = max(_idle(run[0], run[-1]), timedelta(milliseconds=1)) / timedelta(hours=1)
    return pages >= 40 and pages / hours > 300

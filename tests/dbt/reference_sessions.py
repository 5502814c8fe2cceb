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
SOURCES_WITH_SESSIONS = frozenset({"rees46"})


@dataclass(frozen=True)
class Session:
    """One session: which events it holds and what they add up to."""

    event_ids: frozenset[str]
    visitor_id: str
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
    """Sessions of deduplicated events that carry consent to analytics."""
    scopes: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for event in events:
        if event.get("consent_analytics"):
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


def _scope(event: Row) -> tuple[str, str]:
    if event["source"] in SOURCES_WITH_SESSIONS and event.get("source_session_id"):
        return f"source {event['source']}", event["source_session_id"]
    return "visitor", event["visitor_id"]


def _idle(before: Row, after: Row) -> timedelta:
    return parse(after["occurred_at"]) - parse(before["occurred_at"])


def _summarize(run: list[Row]) -> Session:
    started_at = parse(run[0]["occurred_at"])
    kept = [e for e in run if parse(e["occurred_at"]) <= started_at + LONGEST]

    def count(name: str) -> int:
        return sum(event["event_name"] == name for event in kept)

    measured = [e["engaged_seconds"] for e in kept if "engaged_seconds" in e]
    engaged = sum(round(seconds * 1000) for seconds in measured)
    pages, purchases = count("page_view"), count("purchase")
    is_bounce = None
    if pages or measured or purchases:
        is_bounce = engaged < 10_000 and pages < 2 and not purchases
    return Session(
        event_ids=frozenset(event["event_id"] for event in kept),
        visitor_id=run[0]["visitor_id"],
        started_at=started_at,
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
        is_bot=any(event.get("bot_reason") for event in run) or _is_machine(run),
    )


def _is_machine(run: list[Row]) -> bool:
    pages = sum(event["event_name"] == "page_view" for event in run)
    hours = max(_idle(run[0], run[-1]), timedelta(milliseconds=1)) / timedelta(hours=1)
    return pages >= 40 and pages / hours > 300

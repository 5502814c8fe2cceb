"""Who is in a segment at a moment and what an experiment measured, in plain Python."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from fractions import Fraction
from typing import Any

Row = dict[str, Any]

DAY = timedelta(days=1)


def is_engaged_buyer(orders: Iterable[Row], t: datetime) -> bool:
    """More than three orders in thirty days."""
    return sum(t - 30 * DAY < order["ordered_at"] <= t for order in orders) > 3


def is_casual_browser(sessions: Iterable[Row], t: datetime) -> bool:
    """At least one visit and fewer than two in a week, under five page views each."""
    week = [session for session in sessions if t - 7 * DAY < session["ended_at"] <= t]
    return len(week) == 1 and week[0]["page_view_count"] < 5


def is_cart_abandoner(events: Sequence[Row], t: datetime) -> bool:
    """An item added a day ago or more and nothing bought since; for a week at most."""
    ordered = sorted(
        events, key=lambda event: (event["occurred_at"], event["event_id"])
    )
    for place, event in enumerate(ordered):
        added_at = event["occurred_at"]
        if event["event_name"] != "add_to_cart" or not (
            added_at + DAY <= t < added_at + 8 * DAY
        ):
            continue
        bought = next(
            (
                later["occurred_at"]
                for later in ordered[place:]
                if later["event_name"] == "purchase"
            ),
            None,
        )
        if bought is None or (bought > added_at + DAY and t < bought):
            return True
    return False


Metric = tuple[str, str, str, date]
Sums = tuple[int, Fraction, Fraction]


def experiment_sums(events: Iterable[Row]) -> dict[Metric, Sums]:
    """Units, sum and sum of squares by experiment, variant, metric and first day."""
    by_visitor: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        if not event["is_bot"] and event["session_id"]:
            by_visitor[event["visitor_id"]].append(event)
    values: dict[Metric, list[Fraction]] = defaultdict(list)
    for visited in by_visitor.values():
        visited.sort(key=lambda event: (event["occurred_at"], event["event_id"]))
        exposures: dict[str, Row] = {}
        for event in visited:
            if event["event_name"] == "exposure":
                exposures.setdefault(event["experiment_key"], event)
        for key, exposure in exposures.items():
            after = [e for e in visited if e["occurred_at"] >= exposure["occurred_at"]]
            for metric, value in _outcomes(after).items():
                day = exposure["occurred_at"].date()
                values[(key, exposure["variant_key"], metric, day)].append(value)
    return {
        metric: (
            len(found),
            sum(found, Fraction()),
            sum((v * v for v in found), Fraction()),
        )
        for metric, found in values.items()
    }


def _outcomes(events: Sequence[Row]) -> dict[str, Fraction]:
    names = [event["event_name"] for event in events]
    revenue = sum(
        event["revenue_cents"] or 0
        for event in events
        if event["event_name"] == "purchase"
    )
    engaged = sum(event["engaged_milliseconds"] or 0 for event in events)
    return {
        "conversion": Fraction("purchase" in names),
        "add_to_cart": Fraction("add_to_cart" in names),
        "revenue_per_visitor": Fraction(revenue),
        "engaged_seconds_per_visitor": Fraction(engaged, 1000),
    }

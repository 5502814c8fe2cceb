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


UNIT_OF: dict[str, str] = {"banner": "person_id"}
"""By experiment what is analysed, as tests/dbt/experiments says; else a visitor."""

DROPS_CONTAMINATED = {"checkout_reassurance"}


def experiment_sums(events: Iterable[Row]) -> dict[Metric, Sums]:
    """Units, sum and sum of squares by experiment, variant, metric and first day."""
    visited = sorted(
        (event for event in events if not event["is_bot"] and event["session_id"]),
        key=lambda event: (event["occurred_at"], event["event_id"]),
    )
    values: dict[Metric, list[Fraction]] = defaultdict(list)
    shown = [event for event in visited if event["event_name"] == "exposure"]
    for key in {event["experiment_key"] for event in shown}:
        unit_column = UNIT_OF.get(key, "visitor_id")
        exposures: dict[str, Row] = {}
        seen_by_unit: dict[str, set[str]] = defaultdict(set)
        seen_by_person: dict[str, set[str]] = defaultdict(set)
        for event in shown:
            if event["experiment_key"] == key:
                exposures.setdefault(event[unit_column], event)
                seen_by_unit[event[unit_column]].add(event["variant_key"])
                seen_by_person[event["person_id"]].add(event["variant_key"])
        by_unit: dict[str, list[Row]] = defaultdict(list)
        for event in visited:
            by_unit[event[unit_column]].append(event)
        for unit, exposure in exposures.items():
            seen = max(
                len(seen_by_unit[unit]), len(seen_by_person[exposure["person_id"]])
            )
            if key in DROPS_CONTAMINATED and seen > 1:
                continue
            after = [
                event
                for event in by_unit[unit]
                if event["occurred_at"] >= exposure["occurred_at"]
            ]
            day = exposure["occurred_at"].date()
            for metric, value in _outcomes(exposure, after).items():
                values[(key, exposure["variant_key"], metric, day)].append(value)
    return {
        metric: (
            len(found),
            sum(found, Fraction()),
            sum((v * v for v in found), Fraction()),
        )
        for metric, found in values.items()
    }


def _outcomes(exposure: Row, events: Sequence[Row]) -> dict[str, Fraction]:
    names = [event["event_name"] for event in events]
    bought = [event for event in events if event["event_name"] == "purchase"]
    revenue = sum(event["revenue_cents"] or 0 for event in bought)
    engaged = sum(event["engaged_milliseconds"] or 0 for event in events)
    days_later = {
        (event["occurred_at"].date() - exposure["occurred_at"].date()).days
        for event in events
        if event["is_page_view"]
    }
    # In whole thousandths of an hour, as the table has them.
    waited = [
        (_milliseconds(event["occurred_at"]) - _milliseconds(exposure["occurred_at"]))
        // 3600
        for event in bought
    ]
    return {
        "conversion": Fraction("purchase" in names),
        "add_to_cart": Fraction("add_to_cart" in names),
        "revenue_per_visitor": Fraction(revenue),
        "revenue_winsorized": Fraction(min(revenue, 100_000)),
        "purchases_per_visitor": Fraction(len(bought)),
        "engaged_seconds_per_visitor": Fraction(engaged, 1000),
        "came_back": Fraction(bool(days_later & set(range(1, 8)))),
        "hours_to_purchase": Fraction(min([168_000, *waited]), 1000),
    }


def _milliseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(milliseconds=1)

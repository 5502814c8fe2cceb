"""Feature values at a moment, by brute force over `fct_events`, in plain Python.

The rule (architecture page): value(t) is over events received at t or before whose
occurrence lies in the window before t; an event leaves at the end of the window that
began with its hop.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Window:
    suffix: str
    length: timedelta
    hop: timedelta


FIVE_MINUTES = Window("5m", timedelta(minutes=5), timedelta(minutes=1))
THIRTY_MINUTES = Window("30m", timedelta(minutes=30), timedelta(minutes=5))
ONE_HOUR = Window("1h", timedelta(hours=1), timedelta(minutes=5))
ONE_DAY = Window("24h", timedelta(hours=24), timedelta(hours=1))
SEVEN_DAYS = Window("7d", timedelta(days=7), timedelta(days=1))
THIRTY_DAYS = Window("30d", timedelta(days=30), timedelta(days=1))


def usable(events: Iterable[Row]) -> list[Row]:
    """What features may use: consented, of a visit, not known for a machine when it came."""
    return [
        event
        for event in events
        if event["has_personalization_consent"]
        and not event["is_declared_bot"]
        and event["session_id"]
    ]


def activity_at(events: Iterable[Row], t: datetime, window: Window) -> Row:
    """Activity of one visitor, whose usable events these are, as known at t."""
    inside = [
        event
        for event in events
        if event["received_at"] <= t < _leaves_at(event["occurred_at"], window)
    ]

    def count(name: str) -> int:
        return sum(event["event_name"] == name for event in inside)

    values = {
        "page_view_count": sum(event["is_page_view"] for event in inside),
        "item_view_count": count("view_item"),
        "add_to_cart_count": count("add_to_cart"),
        "purchase_count": count("purchase"),
        "revenue_cents": sum(
            event["revenue_cents"] or 0
            for event in inside
            if event["event_name"] == "purchase"
        ),
        "engaged_seconds": sum(e["engaged_milliseconds"] or 0 for e in inside) / 1000,
    }
    return {f"{name}_{window.suffix}": value for name, value in values.items()}


def contributes(event: Row, window: Window) -> bool:
    """Whether the event ever adds to the window: it counts and arrives in time."""
    is_counted = (
        event["is_page_view"]
        or event["event_name"] in ("view_item", "add_to_cart", "purchase")
        or (event["engaged_milliseconds"] or 0) > 0
    )
    return is_counted and event["received_at"] < _leaves_at(
        event["occurred_at"], window
    )


def _leaves_at(occurred_at: datetime, window: Window) -> datetime:
    return occurred_at - (occurred_at - _EPOCH) % window.hop + window.length


def latest_at(events: Iterable[Row], t: datetime) -> Row:
    """What one visitor did last, by occurrence, as known at t."""
    known = sorted(
        (
            event
            for event in events
            if event["received_at"] <= t
            and event["event_name"]
            in ("page_view", "view_item", "add_to_cart", "purchase")
        ),
        key=lambda event: (event["occurred_at"], event["event_id"]),
    )

    def last(column: str, *names: str) -> Any:
        found = [
            event[column]
            for event in known
            if event[column] is not None and (not names or event["event_name"] in names)
        ]
        return found[-1] if found else None

    return {
        "last_event_at": last("occurred_at"),
        "last_page_type": last("page_type"),
        "last_item_id": last("item_id"),
        "last_item_category": last("item_category"),
        "last_cart_item_id": last("item_id", "add_to_cart"),
        "last_purchase_at": last("occurred_at", "purchase"),
    }


# The catalogue below is written over facts: what features may know of one event.

GAP = timedelta(minutes=30)


def known(facts: Iterable[Row], t: datetime, *names: str) -> list[Row]:
    """Facts received at t or before, of these events if any are named, by occurrence."""
    return sorted(
        (
            fact
            for fact in facts
            if fact["received_at"] <= t and (not names or fact["event_name"] in names)
        ),
        key=lambda fact: (fact["occurred_at"], fact["event_id"]),
    )


def session_at(facts: Iterable[Row], t: datetime) -> Row:
    """The session so far of one visitor, told from the last event known at t backwards."""
    arrived = known(facts, t)
    session: list[Row] = []
    if arrived and t <= arrived[-1]["occurred_at"] + GAP:
        scope = arrived[-1]["session_scope"]
        for fact in reversed([f for f in arrived if f["session_scope"] == scope]):
            is_cut = session and session[0]["occurred_at"] - fact["occurred_at"] > GAP
            if is_cut and not fact["has_source_session"]:
                break
            session.insert(0, fact)

    def count(*names: str) -> int:
        return sum(fact["event_name"] in names for fact in session)

    pages = sum(fact["page_view_count"] for fact in session)
    engaged = sum(fact["engaged_milliseconds"] for fact in session) / 1000
    scrolls = [f["scroll_rate"] for f in session if f["scroll_rate"] is not None]
    devices = [f["device_class"] for f in session if f["device_class"] is not None]
    interactions = count("add_to_cart", "purchase", "content_interaction", "search")
    bounce = None
    if pages or count("purchase") or any(fact["has_stated_dwell"] for fact in session):
        bounce = engaged < 10 and pages < 2 and not count("purchase")
    return {
        "is_session_active": bool(session),
        "session_started_at": session[0]["occurred_at"] if session else None,
        "session_last_event_at": session[-1]["occurred_at"] if session else None,
        "session_event_count": len(session),
        "session_page_view_count": pages,
        "session_item_view_count": count("view_item"),
        "session_add_to_cart_count": count("add_to_cart"),
        "session_engaged_seconds": engaged,
        "session_deepest_scroll_rate": max(scrolls) if scrolls else None,
        "session_channel": session[0]["channel"] if session else None,
        "session_device_class": devices[0] if devices else None,
        "is_session_bounce": bounce,
        "session_engagement_score": 40 * min(1, engaged / 180)
        + 30 * min(1, pages / 8)
        + 15 * max(scrolls, default=0)
        + 15 * min(1, interactions / 4),
    }


def lines(fact: Row) -> list[Row]:
    """The items that an event names: its list, or else its own columns."""
    if fact["items"] is not None:
        return list(json.loads(fact["items"]))
    return [fact]


def recent_at(facts: Iterable[Row], t: datetime) -> Row:
    """Last things of one visitor, each once, the newest first; 20 at most."""

    def last(name: str, field: str) -> list[str]:
        found: list[str] = []
        for fact in reversed(known(facts, t, name)):
            for line in lines(fact):
                thing = line.get(field)
                if thing is not None and thing not in found:
                    found.append(thing)
        return found[:20]

    return {
        "last_viewed_items": last("view_item", "item_id"),
        "last_carted_items": last("add_to_cart", "item_id"),
        "last_bought_items": last("purchase", "item_id"),
        "last_viewed_categories": last("view_item", "item_category"),
        "last_viewed_brands": last("view_item", "item_brand"),
    }


def distincts_at(facts: Iterable[Row], t: datetime, window: Window) -> Row:
    """How many different things of one visitor are in the window at t."""
    arrived = known(facts, t)
    inside = [fact for fact in arrived if t < _leaves_at(fact["occurred_at"], window)]
    viewed = [
        line
        for fact in inside
        if fact["event_name"] == "view_item"
        for line in lines(fact)
    ]
    starts = []
    before: dict[str, datetime] = {}
    for fact in arrived:
        previous = before.get(fact["session_scope"])
        if previous is None or (
            not fact["has_source_session"] and fact["occurred_at"] - previous > GAP
        ):
            starts.append(fact)
        before[fact["session_scope"]] = fact["occurred_at"]
    values = {
        "viewed_item_count": len({line.get("item_id") for line in viewed} - {None}),
        "viewed_category_count": len(
            {line.get("item_category") for line in viewed} - {None}
        ),
        "active_day_count": len({fact["occurred_at"].date() for fact in inside}),
        "session_count": sum(
            t < _leaves_at(start["occurred_at"], window) for start in starts
        ),
    }
    return {f"{name}_{window.suffix}": value for name, value in values.items()}


def cart_at(facts: Iterable[Row], t: datetime) -> Row:
    """The cart of one visitor, change after change since its last purchase."""
    changes: list[tuple[Row, Row, int]] = []
    for fact in known(facts, t, "add_to_cart", "remove_from_cart", "purchase"):
        if fact["event_name"] == "purchase":
            changes = []
            continue
        # The first item of an event is taken for the last.
        for line in reversed(lines(fact)):
            is_inside = t < _leaves_at(fact["occurred_at"], THIRTY_DAYS)
            if line.get("item_id") is not None and is_inside:
                sign = 1 if fact["event_name"] == "add_to_cart" else -1
                quantity = line.get("quantity")
                changes.append(
                    (fact, line, sign * (1 if quantity is None else quantity))
                )
    cart: dict[str, int] = {}
    prices: dict[str, int] = {}
    started: dict[str, datetime] = {}
    for fact, line, quantity in changes[-100:]:
        item = line["item_id"]
        left = max(0, cart.get(item, 0) + quantity)
        if quantity > 0:
            cart.pop(item, None)
            started.setdefault(item, fact["occurred_at"])
            if line.get("price_cents") is not None:
                prices[item] = line["price_cents"]
        cart[item] = left
    items = [item for item, quantity in cart.items() if quantity]
    return {
        "cart_items": items[::-1],
        "cart_item_count": sum(cart.values()),
        "cart_value_cents": sum(cart[item] * prices.get(item, 0) for item in items),
        "cart_started_at": min(started[item] for item in items) if items else None,
        "cart_changed_at": changes[-1][0]["occurred_at"] if items else None,
    }


def intent_at(facts: Iterable[Row], t: datetime) -> Row:
    """What one visitor did in the last 30 minutes, act after act."""
    acts: list[tuple[str, str | None, str | None]] = []
    for fact in known(facts, t):
        name, content = fact["event_name"], fact["content_type"]
        if t >= _leaves_at(fact["occurred_at"], THIRTY_MINUTES):
            continue
        if name == "view_item":
            # The first item of an event is taken for the last.
            acts += [
                ("view", line.get("item_id"), line.get("item_category"))
                for line in reversed(lines(fact))
            ]
        elif name == "view_item_list":
            categories = dict.fromkeys(
                line.get("item_category") for line in lines(fact)
            )
            acts += [("list", None, category) for category in reversed(categories)]
        elif name == "page_view" and fact["page_type"] in ("category", "list"):
            acts.append(("list", None, fact["item_category"]))
        elif name == "search":
            acts.append(("search", None, None))
        elif name == "content_interaction" and content in (
            "review",
            "faq",
            "size_guide",
        ):
            acts.append((content, None, None))
    acts = [act for act in acts if act[0] != "list" or act[2] is not None][-100:]
    views: dict[str, int] = {}
    listed: set[str | None] = set()
    after_list = after_search = 0
    for place, (act, item, category) in enumerate(acts):
        if act == "list":
            listed.add(category)
        if act == "view":
            after_list += category is not None and category in listed
            after_search += ("search", None, None) in acts[:place]
            if item is not None:
                views[item] = views.pop(item, 0) + 1
    most = max(views.values(), default=0)

    def count(name: str) -> int:
        return sum(act == name for act, _, _ in acts)

    return {
        "most_viewed_item_id_30m": next(
            (item for item in reversed(views) if views[item] == most), None
        ),
        "most_viewed_item_view_count_30m": most,
        "view_after_list_count_30m": after_list,
        "view_after_search_count_30m": after_search,
        "review_count_30m": count("review"),
        "faq_count_30m": count("faq"),
        "size_guide_count_30m": count("size_guide"),
    }


def recency_at(facts: Iterable[Row], t: datetime) -> Row:
    """When one visitor last did what."""
    columns = {
        "page_view": "last_page_view_at",
        "view_item": "last_item_view_at",
        "add_to_cart": "last_add_to_cart_at",
        "search": "last_search_at",
        "content_interaction": "last_content_interaction_at",
    }
    values = dict.fromkeys(("first_seen_at", *columns.values()))
    for fact in known(facts, t, *columns):
        values["first_seen_at"] = values["first_seen_at"] or fact["occurred_at"]
        values[columns[fact["event_name"]]] = fact["occurred_at"]
    return values


def item_counts_at(
    facts: Iterable[Row], t: datetime, window: Window, tile: timedelta
) -> dict[str, int]:
    """How often one item's facts are in the window at t, known at the end of a tile."""
    inside = [
        fact
        for fact in facts
        if _tile_end(fact["received_at"], tile) <= t
        and t < _leaves_at(fact["occurred_at"], window)
    ]
    return {
        name: sum(fact["event_name"] == name for fact in inside)
        for name in ("view_item", "add_to_cart", "purchase")
    }


def item_activity_at(
    facts: Iterable[Row], t: datetime, window: Window, tile: timedelta
) -> Row:
    counts = item_counts_at(facts, t, window, tile)
    return {
        f"view_count_{window.suffix}": counts["view_item"],
        f"add_to_cart_count_{window.suffix}": counts["add_to_cart"],
        f"purchase_count_{window.suffix}": counts["purchase"],
    }


def item_trend_at(facts: Iterable[Row], t: datetime) -> Row:
    """The last day against a mean day of the week before, and what views lead to."""
    tile = timedelta(hours=1)
    facts = list(facts)
    eight_days = Window("8d", timedelta(days=8), timedelta(hours=1))
    today = item_counts_at(facts, t, ONE_DAY, tile)["view_item"]
    before = item_counts_at(facts, t, eight_days, tile)["view_item"] - today
    month = item_counts_at(facts, t, THIRTY_DAYS, tile)
    return {
        "view_trend": (today + 5) / (before / 7 + 5),
        "cart_rate_30d": (month["add_to_cart"] + 5) / (month["view_item"] + 50),
        "purchase_rate_30d": (month["purchase"] + 1) / (month["view_item"] + 50),
    }


def _tile_end(received_at: datetime, tile: timedelta) -> datetime:
    return received_at + (_EPOCH - received_at) % tile

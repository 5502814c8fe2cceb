"""Facts that arrive in every order, with gaps and ties where rules turn. No test logic.

Few visitors, items and moments, so that what is rare in a shop is common here: idle times
of exactly a gap, events at the same moment, arrivals that overtake, bridge and precede.
"""

import json
import random
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]

START = datetime(2026, 9, 1, 22, 0)
TYPES = {
    "event_id": "varchar",
    "event_name": "varchar",
    "source": "varchar",
    "visitor_id": "varchar",
    "user_id": "varchar",
    "session_scope": "varchar",
    "has_source_session": "boolean",
    "occurred_at": "timestamp",
    "received_at": "timestamp",
    "page_type": "varchar",
    "content_type": "varchar",
    "item_id": "varchar",
    "item_category": "varchar",
    "item_brand": "varchar",
    "price_cents": "bigint",
    "quantity": "bigint",
    "items": "varchar",
    "order_id": "varchar",
    "device_class": "varchar",
    "channel": "varchar",
    "scroll_rate": "double",
    "page_view_count": "bigint",
    "item_view_count": "bigint",
    "add_to_cart_count": "bigint",
    "purchase_count": "bigint",
    "revenue_cents": "bigint",
    "engaged_milliseconds": "bigint",
    "has_stated_dwell": "boolean",
}

_NAMES = (
    *("page_view",) * 5,
    *("view_item",) * 6,
    *("add_to_cart",) * 3,
    "remove_from_cart",
    "purchase",
    "view_item_list",
    *("search", "content_interaction", "user_engagement", "scroll", "click"),
)
_MINUTE = timedelta(minutes=1)
_STEPS = (
    *(timedelta(), timedelta(milliseconds=1), timedelta(seconds=20)),
    *(3 * _MINUTE, 10 * _MINUTE, 29 * _MINUTE, 30 * _MINUTE),
    *(30 * _MINUTE + timedelta(milliseconds=1), 45 * _MINUTE, timedelta(hours=7)),
)
_RARE_STEPS = (timedelta(days=1), timedelta(days=8), timedelta(days=31))
_DELAYS = (
    *(timedelta(), timedelta(milliseconds=1), timedelta(seconds=1)),
    *(timedelta(minutes=4), timedelta(minutes=31), timedelta(hours=9)),
)


def random_facts(rng: random.Random) -> list[Row]:
    """Facts of visitors `v0`, `v1`, … shuffled; every visitor is late in its own way."""
    visitors, fewest, most = rng.choice(((6, 1, 40), (6, 1, 40), (1, 500, 700)))
    facts = []
    for number in range(visitors):
        occurred_at = START
        is_in_order, has_sessions = rng.random() < 0.2, rng.random() < 0.3
        is_slow = rng.random() < 0.3
        for place in range(rng.randint(fewest, most)):
            steps = _RARE_STEPS if rng.random() < 0.04 else _STEPS[: 4 + 8 * is_slow]
            occurred_at += rng.choice(steps if is_slow else (*steps, *_STEPS))
            delay = timedelta() if is_in_order else rng.choice(_DELAYS)
            facts.append(
                _fact(
                    rng,
                    f"v{number}",
                    f"{rng.randint(0, 9)}_{number}_{place}",
                    occurred_at,
                    occurred_at + delay,
                    rng.choice("ab") if has_sessions and rng.random() < 0.7 else None,
                )
            )
    rng.shuffle(facts)
    return facts


def _fact(
    rng: random.Random,
    visitor_id: str,
    event_id: str,
    occurred_at: datetime,
    received_at: datetime,
    session: str | None,
) -> Row:
    name = rng.choice(_NAMES)
    dwell = rng.choice((0, 400, 6000)) if name == "user_engagement" else None
    fact = dict.fromkeys(TYPES) | {
        "event_id": event_id,
        "event_name": name,
        "source": "shop_web",
        "visitor_id": visitor_id,
        "session_scope": visitor_id if session is None else f"rees46:{session}",
        "has_source_session": session is not None,
        "occurred_at": occurred_at,
        "received_at": received_at,
        "channel": rng.choice(("direct", "email", "organic_search")),
        "device_class": rng.choice((None, "mobile", "desktop")),
        "page_type": rng.choice((None, "category", "product")),
        "scroll_rate": rng.choice((0.2, 0.9)) if name == "scroll" else None,
        "page_view_count": int(name == "page_view"),
        "item_view_count": int(name == "view_item"),
        "add_to_cart_count": int(name == "add_to_cart"),
        "purchase_count": int(name == "purchase"),
        "revenue_cents": rng.randint(1, 5000) if name == "purchase" else 0,
        "engaged_milliseconds": dwell or 0,
        "has_stated_dwell": dwell is not None,
    }
    if name == "page_view":
        fact["item_category"] = rng.choice((None, "category_1", "category_2"))
    if name == "content_interaction":
        fact["content_type"] = rng.choice(("review", "faq", "size_guide", "video"))
    if name in _NAMES_OF_ITEMS:
        if name in ("purchase", "view_item_list") or rng.random() < 0.15:
            lines = [_line(rng) for _ in range(rng.randint(0, 3))]
            fact["items"] = json.dumps(lines)
        else:
            fact |= dict.fromkeys(_ITEM_FIELDS) | _line(rng)
    return fact


_NAMES_OF_ITEMS = frozenset(
    ("view_item", "add_to_cart", "remove_from_cart", "purchase", "view_item_list")
)
_ITEM_FIELDS = ("item_id", "item_category", "item_brand", "price_cents", "quantity")


def _line(rng: random.Random) -> Row:
    """An item of a catalogue of thirty; any field may be missing."""
    number = rng.choice((rng.randint(1, 4), rng.randint(1, 30)))
    line = {
        "item_id": f"sku_{number}",
        "item_category": f"category_{number % 7}",
        "item_brand": f"brand_{number % 11}",
        "price_cents": 100 * number + rng.randint(0, 1),
        "quantity": rng.randint(1, 3),
    }
    return {name: value for name, value in line.items() if rng.random() < 0.9}


def signed_in(facts: list[Row], rng: random.Random) -> list[Row]:
    """The same facts, some of them of somebody who had signed in: visitors take turns on
    few accounts."""
    share = rng.choice((0.03, 0.15, 0.5))
    return [
        fact | {"user_id": f"u{rng.randint(0, 2)}" if rng.random() < share else None}
        for fact in facts
    ]

"""A home with the fashion shop published, and a log whose events the SQL of it reads.

The SQL is of the form that dbt compiles, with the columns that recommendations need; that
dbt's own is run is for `tests/dbt`.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from nearline.log import EVENTS, NewRecord, open_log
from nearline.settings import Settings
from tests.releases import SCHEMAS, Row, publish_with_live_sql, write_release
from tests.unit.recommend.fashion_shop import ITEMS, START, VISITS

_FACTS = """
select
    event_id, event_name, visitor_id, item_id, occurred_at, item_category, item_brand,
    price_cents
from live_arrivals as arrived
where consent_personalization and not exists (
    select 1 from stg_privacy__suppressed_keys as suppressed
    where key_type = 'visitor' and key_value = visitor_id
)
"""

_SCHEMAS = {
    **SCHEMAS,
    "fct_order_items": {**SCHEMAS["fct_order_items"], "source": pa.string()},
}


def visitor(name: str) -> str:
    return f"v_{name.rjust(12, '0')}"


@dataclass(frozen=True)
class SmallShop:
    """Events arrive in its log; a release has what was published."""

    settings: Settings

    def view(
        self, who: str, item: str, seconds: float, **fields: Any
    ) -> dict[str, Any]:
        """An event of the contract, `seconds` after the shop's start."""
        at = datetime.fromtimestamp(START + seconds, UTC).isoformat()
        return {
            "event_id": f"event_{who}_{item}_{seconds:.0f}",
            "event_name": "view_item",
            "schema_version": "1.2",
            "occurred_at": at,
            "received_at": at,
            "source": "web",
            "visitor_id": visitor(who),
            "item_id": item,
            "consent_analytics": True,
            "consent_personalization": True,
            "consent_marketing": False,
            "consent_notice_version": "1",
        } | fields

    def arrive(self, *events: Mapping[str, Any]) -> None:
        with closing(open_log(self.settings, EVENTS)) as log:
            log.append([NewRecord("key", json.dumps(e).encode()) for e in events])

    def release(
        self,
        name: str,
        visits: Iterable[list[str]] = VISITS,
        position: int = 0,
        **more: list[Row],
    ) -> None:
        """Publishes visits as `fashion_shop` lays them out; rows of `more` are added."""
        events = [
            event_row(str(number), item, number * 3600 + place * 60)
            for number, visit in enumerate(visits)
            for place, item in enumerate(visit)
        ]
        events += more.get("fct_events", [])
        items = [
            {
                "item_id": item,
                "item_category": category,
                "item_brand": brand,
                "price_cents": price,
            }
            for item, category, brand, price, _ in ITEMS
        ]
        people = sorted({event["visitor_id"] for event in events})
        folder = write_release(
            self.settings.releases / name,
            {
                "fct_events": events,
                "fct_orders": more.get("fct_orders", []),
                "fct_order_items": more.get("fct_order_items", []),
                "dim_items": items,
                "fct_sessions": [
                    {
                        "session_id": session,
                        "channel": "direct",
                        "session_date": events[0]["event_date"],
                    }
                    for session in sorted({event["session_id"] for event in events})
                ],
                "bridge_identities": [
                    {
                        "identifier_type": "visitor",
                        "identifier": person,
                        "person_id": f"p_{person[2:]}",
                    }
                    for person in people
                ],
            },
            _SCHEMAS,
        )
        publish_with_live_sql(
            self.settings,
            folder,
            [{"name": "live_feature_facts", "sql": _FACTS, "meta": {}}],
            datetime.fromtimestamp(START, UTC),
            position,
        )


def event_row(who: str, item: str | None, seconds: float, **fields: Any) -> Row:
    """One row of `fct_events`, a view with consent unless said otherwise."""
    moment = datetime.fromtimestamp(START + seconds, UTC).replace(tzinfo=None)
    titles = {name: title for name, *_, title in ITEMS}
    return {
        "event_id": f"event_{who}_{item}_{seconds:.0f}",
        "event_name": "view_item",
        "event_date": moment.date(),
        "occurred_at": moment,
        "received_at": moment,
        "source": "web",
        "visitor_id": visitor(who),
        "person_id": f"p_{visitor(who)[2:]}",
        "session_id": f"s_{who}",
        "item_id": item,
        "page_title": titles.get(item or ""),
        "has_personalization_consent": True,
        "is_bot": False,
    } | fields


def small_shop(home: Path, *, is_published: bool = True) -> SmallShop:
    shop = SmallShop(Settings(home=home))
    if is_published:
        shop.release("20260922T000000Z")
    return shop

"""What GA4's export brings twice, under numbers that others have too, or of nobody."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from nearline.landing.landings import land_file
from nearline.privacy.pseudonyms import load_pseudonymizer
from tests.dbt.warehouse import Row, Warehouse
from tests.unit.landing.test_ga4 import event, write_rows

ANNA, BEN = "1166526666.1788256790", "2000000002.1788256800"
LATE = {"traffic_source": None, "user_ltv": None, "is_active_user": None}


def hit(number: int, name: str = "page_view", **fields: object) -> Row:
    """Anna's event number `number`, seconds apart, each in a request of its own."""
    micros = 1788256800_000_000 + number * 1_000_000
    fields = {"batch_ordering_id": str(number), "user_id": None, **fields}
    return event(name, event_timestamp=str(micros), **fields)


def cookieless(number: int) -> Row:
    return hit(
        number,
        user_pseudo_id=None,
        privacy_info={"analytics_storage": "No", "ads_storage": "No"},
        event_params=[],
        user_id="541312140",
    )


VIEW, BUY = hit(1), hit(2, "purchase", params={"transaction_id": "T-1"})
AGAIN = hit(2, "purchase", params={"transaction_id": "T-1"}, batch_event_index="2")
TWINS = [hit(3, user_pseudo_id=ANNA), hit(3, user_pseudo_id=BEN)]
NOBODY = [cookieless(4), cookieless(4) | {"batch_event_index": "2"}]
DAILY = [VIEW, BUY, AGAIN, *TWINS, *NOBODY]


@dataclass(frozen=True)
class Shop:
    warehouse: Warehouse
    anna: str
    ben: str


@pytest.fixture(scope="module")
def shop(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The day's intraday table first, and, after a run, its daily one."""
    warehouse = Warehouse(homes / "ga4", tmp_path_factory.mktemp("target_ga4"))
    warehouse.home.mkdir()
    sources = {"sources": {"ga4": {"session_rule": "source"}}}
    intraday = [row | LATE for row in (VIEW, BUY, AGAIN, NOBODY[0])]
    for name, rows in (("events_intraday", intraday), ("events", DAILY)):
        path = write_rows(homes / f"{name}_20260901.jsonl", rows)
        assert land_file(warehouse.settings, path, "ga4").rejected_count == 0
        warehouse.dbt(
            "run",
            "--select",
            "+int_events__sessionized",
            "--vars",
            json.dumps(sources),
        )
    visitor = load_pseudonymizer(warehouse.settings).visitor
    return Shop(warehouse, *(visitor("ga4", f"2614001:{who}") for who in (ANNA, BEN)))


def test_events_of_the_intraday_and_the_daily_table_are_one(shop: Shop) -> None:
    [staged] = shop.warehouse.rows(
        "select count(*) as n, count(distinct event_id) as ids from stg_ga4__events"
    )
    assert staged == {"n": len(DAILY) + 4, "ids": len(DAILY)}
    [kept] = shop.warehouse.rows("select count(*) as n from int_events__deduplicated")
    assert kept == {"n": len(DAILY)}


def test_an_event_sent_twice_in_one_request_counts_twice(shop: Shop) -> None:
    assert shop.warehouse.rows(
        "select count(*) as n, count(distinct order_id) as orders "
        "from int_events__deduplicated where event_name = 'purchase'"
    ) == [{"n": 2, "orders": 1}]


def test_one_session_number_of_two_visitors_is_two_sessions(shop: Shop) -> None:
    found = shop.warehouse.rows(
        """
        select events.visitor_id, count(distinct session_id) as sessions, count(*) as n
        from int_events__deduplicated as events
        inner join int_events__sessionized using (event_id)
        where session_id is not null
        group by events.visitor_id
        """
    )
    assert {row["visitor_id"]: (row["sessions"], row["n"]) for row in found} == {
        shop.anna: (1, 4),
        shop.ben: (1, 1),
    }
    [ids] = shop.warehouse.rows(
        "select count(distinct session_id) as n from int_events__sessionized"
    )
    assert ids == {"n": 2}


def test_events_without_storage_are_set_aside_each_of_nobody(shop: Shop) -> None:
    found = shop.warehouse.rows(
        """
        select events.visitor_id, events.user_id, set_aside_reason
        from int_events__deduplicated as events
        inner join int_events__sessionized using (event_id)
        where not has_analytics_consent
        """
    )
    assert [row["set_aside_reason"] for row in found] == ["no_analytics_consent"] * 2
    assert [row["user_id"] for row in found] == [None, None]
    visitors = {row["visitor_id"] for row in found}
    assert len(visitors) == 2
    assert all(len(visitor) == 24 for visitor in visitors)

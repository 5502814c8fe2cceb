"""What the hits of an Adobe data feed mean together: visits, orders, events by name."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from nearline.landing.landings import land_file
from nearline.privacy.pseudonyms import load_pseudonymizer
from tests.dbt.warehouse import BUILD, Row, Warehouse
from tests.unit.landing.test_adobe import AT, HIGH, LOW, VIEW, as_rows, write_feed

DAY = 86_400
VARS = {
    "sources": {
        "adobe": {"session_rule": "source", "assumed_consent": ["analytics"]},
    },
    "adobe_events": {"event5": "sign_up", "event700": "add_to_wishlist"},
}


def hit(number: int, second: int, **fields: str) -> dict[str, str]:
    """Hit `number`, so many seconds after the first."""
    at = str(AT + second)
    times = {"hit_time_gmt": at, "post_cust_hit_time_gmt": at}
    return {**VIEW, "hitid_low": str(number), **times, **fields}


BASKET = ";sku-1;2;59.98,;sku-2;3;10.00"
ORDER = {"post_event_list": "1", "post_product_list": BASKET, "post_currency": "EUR"}
VISIT = [
    hit(1, 0, post_event_list="2,204", post_product_list="shoes;sku-1"),
    # Within one visit, though longer than the gap that ends others.
    hit(2, 2400, post_event_list="12", post_product_list="shoes;sku-1;2;59.98"),
    hit(3, 2460, post_event_list="204=7,20699,200=1.5", post_product_list=";sku-9"),
    hit(4, 2500, **ORDER),
    hit(5, 2530, post_event_list="1", post_product_list=BASKET, post_currency="EUR"),
]
ANOTHERS = [hit(6, 0, post_visid_low="4611687123456789013")]
NEXT_VISIT = [hit(7, 600, visit_num="2", visit_start_time_gmt=str(AT + 600))]
# A visit that Adobe never ended; its last hit is a page and a product.
ENDLESS = [
    hit(8, second, post_visid_low="77", post_event_list="2", post_product_list=";sku-1")
    | {"hitid_low": str(80 + second)}
    for second in (0, 4 * DAY)
]


@dataclass(frozen=True)
class Shop:
    warehouse: Warehouse
    anna: str


@pytest.fixture(scope="module")
def shop(homes: Path, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """An hour, then the day in which Adobe delivers that hour again."""
    warehouse = Warehouse(homes / "adobe", tmp_path_factory.mktemp("target_adobe"))
    warehouse.home.mkdir()
    feed = tmp_path_factory.mktemp("feed")
    hour = write_feed(feed, as_rows(*VISIT[:2]), "hit_data_20260901-100000.tsv.gz")
    whole = as_rows(*VISIT, *ANOTHERS, *NEXT_VISIT, *ENDLESS)
    day = write_feed(feed, whole, "hit_data_20260901.tsv")
    with_vars = ("--vars", json.dumps(VARS))
    for path in (hour, day):
        assert land_file(warehouse.settings, path, "adobe").rejected_count == 0
        command = ("run",) if path == hour else BUILD
        warehouse.dbt(*command, *with_vars, timeout=300)
    anna = load_pseudonymizer(warehouse.settings).visitor("adobe", f"{HIGH}_{LOW}")
    return Shop(warehouse, anna)


def of_anna(shop: Shop, query: str) -> list[Row]:
    return shop.warehouse.rows(query.format(anna=shop.anna))


def test_a_visit_of_adobe_is_a_session(shop: Shop) -> None:
    """Views 1 to 5 are one visit for all their forty idle minutes; the seventh hit is
    the next visit, ten minutes after the first."""
    found = of_anna(
        shop,
        """
        select page_view_count, item_view_count, add_to_cart_count, purchase_count
        from fct_sessions where visitor_id = '{anna}' order by started_at
        """,
    )
    assert [tuple(row.values()) for row in found] == [(5, 1, 1, 2), (1, 0, 0, 0)]


def test_one_number_of_a_visit_of_two_visitors_is_two_sessions(shop: Shop) -> None:
    [found] = shop.warehouse.rows(
        "select count(distinct session_id) as sessions from fct_events "
        "where occurred_at = '2026-09-01 10:00:00' and event_name = 'page_view'"
    )
    assert found == {"sessions": 3}


def test_hits_that_are_delivered_again_count_once(shop: Shop) -> None:
    found = of_anna(
        shop,
        """
        select event_name, count(*) as n from fct_events
        where visitor_id = '{anna}' group by event_name order by event_name
        """,
    )
    assert {row["event_name"]: row["n"] for row in found} == {
        "page_view": 6,
        "view_item": 1,
        "add_to_cart": 1,
        "purchase": 2,
        "sign_up": 2,
        "add_to_wishlist": 1,
    }


def test_an_order_has_its_lines_at_the_price_of_one_piece(shop: Shop) -> None:
    """10.00 for three is 3.33 each: the order keeps what was paid."""
    assert shop.warehouse.rows(
        "select revenue_cents, currency from fct_orders where order_id like '%4:purchase'"
    ) == [{"revenue_cents": 6998, "currency": "EUR"}]
    lines = shop.warehouse.rows(
        "select item_id, price_cents, quantity from fct_order_items "
        "where order_id like '%4:purchase' order by item_id"
    )
    assert [tuple(line.values()) for line in lines] == [
        ("sku-1", 2999, 2),
        ("sku-2", 333, 3),
    ]


def test_custom_events_with_a_name_are_events_and_the_others_properties(
    shop: Shop,
) -> None:
    found = of_anna(
        shop,
        """
        select event_name, item_id, properties from fct_events
        where visitor_id = '{anna}' and event_id like '%\\_3%' escape '\\'
        order by event_name
        """,
    )
    assert [tuple(row.values()) for row in found] == [
        ("add_to_wishlist", "sku-9", None),
        ("page_view", None, '{"event1":1.5}'),
        ("sign_up", None, '{"value":7}'),
    ]


def test_what_was_set_aside_of_one_hit_is_told_event_by_event(shop: Shop) -> None:
    found = shop.warehouse.rows(
        "select event_name, reason from ops_quarantine order by event_name"
    )
    assert [tuple(row.values()) for row in found] == [
        ("page_view", "session is longer than 3 days"),
        ("view_item", "session is longer than 3 days"),
    ]


def test_a_custom_event_that_cannot_be_named_so_is_told(shop: Shop) -> None:
    wrong = {"evnt5": "sign_up", "event6": "Sign up", "event7": "purchase"}
    said = shop.warehouse.dbt_refusal(
        "compile",
        "--select",
        "stg_adobe__events",
        "--vars",
        json.dumps({"adobe_events": wrong}),
    )
    said = " ".join(said.split())
    assert "evnt5 is not like event12" in said
    assert "event6 needs a name like sign_up" in said
    assert "event7 cannot be purchase" in said

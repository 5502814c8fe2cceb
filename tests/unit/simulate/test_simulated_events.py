"""What the lines are: valid, sorted, in the right file, with what a real shop has."""

import gzip
from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

import pytest

from nearline.events import Event, find_identifier
from nearline.events.contract import KNOWN_EVENT_NAMES, SCHEMA_VERSION
from tests.unit.simulate.simulated_shop import Shop, open_shop


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_every_line_keeps_the_contract(shop: Shop) -> None:
    for line in shop.lines:
        Event.model_validate(line)
    assert {line["schema_version"] for line in shop.lines} == {SCHEMA_VERSION}
    assert {line["source"] for line in shop.lines} == {"shop_web", "shop_app"}


def test_null_fields_are_left_out(shop: Shop) -> None:
    assert not [line for line in shop.lines if None in line.values()]


def test_no_text_holds_a_direct_identifier(shop: Shop) -> None:
    free_text = ("page_path", "page_title", "referrer_host", "search_term", "utm_term")
    texts = {line[name] for line in shop.lines for name in free_text if name in line}
    assert texts
    assert not [text for text in texts if find_identifier(text)]


def test_a_file_holds_one_day_of_arrivals_in_order(shop: Shop) -> None:
    for path in (shop.folder / "events").iterdir():
        with gzip.open(path, "rt") as file:
            received = [line.split('"', 4)[3] for line in file]
        assert received == sorted(received)
        assert {text[:10] for text in received} == {
            path.name.removeprefix("received-").removesuffix(".jsonl.gz")
        }


def test_counts_in_the_summary_are_those_of_the_files(shop: Shop) -> None:
    summary = shop.summary
    assert summary.line_count == len(shop.lines)
    assert summary.event_count == len(shop.events)
    assert summary.duplicate_count == len(shop.lines) - len(shop.events)
    assert summary.visitor_count == len({e["visitor_id"] for e in shop.events}) == 300
    assert summary.purchase_count == len(shop.named("purchase"))
    assert summary.file_count == len(list((shop.folder / "events").iterdir()))


def test_a_visitor_makes_about_two_and_a_half_events_a_day(shop: Shop) -> None:
    assert 1.5 < shop.summary.event_count / 300 / 21 < 4


def test_every_event_of_the_funnel_occurs(shop: Shop) -> None:
    names = Counter(event["event_name"] for event in shop.events)
    for name in KNOWN_EVENT_NAMES - {"alias", "decision", "response"}:
        assert names[name] > 0, name
    assert names["add_to_cart"] > names["begin_checkout"] > names["purchase"]
    assert {e["content_type"] for e in shop.named("content_interaction")} == {
        "review",
        "faq",
        "size_guide",
    }


def test_a_purchase_is_worth_its_lines_and_buys_what_was_in_the_cart(
    shop: Shop,
) -> None:
    in_carts = {(e["visitor_id"], e["item_id"]) for e in shop.named("add_to_cart")}
    purchases = shop.named("purchase")
    assert len({event["order_id"] for event in purchases}) == len(purchases)
    for event in purchases:
        assert event["currency"] == "EUR"
        assert event["revenue_cents"] == sum(
            item["price_cents"] * item["quantity"] for item in event["items"]
        )
        for item in event["items"]:
            assert (event["visitor_id"], item["item_id"]) in in_carts


def test_items_are_those_of_the_catalogue(shop: Shop) -> None:
    catalogue = {item["item_id"]: item for item in shop.truth("catalogue")}
    for event in shop.events:
        shown: list[dict[str, Any]] = event.get("items", [])
        for item in [event, *shown] if "item_id" in event else shown:
            known = catalogue[item["item_id"]]
            for name in ("item_category", "item_brand", "price_cents"):
                assert item[name] == known[name]


def test_dwell_and_scroll_belong_to_a_page_that_was_viewed(shop: Shop) -> None:
    views = {event["page_view_id"] for event in shop.named("page_view")}
    assert len(views) == len(shop.named("page_view"))
    for event in [*shop.named("user_engagement"), *shop.named("scroll")]:
        assert event["page_view_id"] in views


def test_a_duplicate_differs_from_its_first_by_its_arrival_alone(shop: Shop) -> None:
    copies: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in shop.lines:
        copies[line["event_id"]].append(line)
    repeated = [lines for lines in copies.values() if len(lines) > 1]
    assert 0.003 < len(repeated) / len(copies) < 0.02
    for first, second in repeated:
        assert first["received_at"] < second["received_at"]
        assert {**first, "received_at": ""} == {**second, "received_at": ""}


def test_some_events_arrive_days_late_and_none_before_it_happened(shop: Shop) -> None:
    delays = [
        (moment(e["received_at"]) - moment(e["occurred_at"])).total_seconds()
        for e in shop.events
    ]
    assert min(delays) >= 0
    late = sum(delay > 600 for delay in delays)
    assert late == shop.summary.late_count
    assert 0.005 < late / len(delays) < 0.08
    assert max(delays) > 86_400


def test_interests_drive_what_is_viewed(shop: Shop) -> None:
    person_of = {
        visitor: person
        for person in shop.truth("persons")
        for visitor in person["visitor_ids"]
    }
    views = [e for e in shop.named("view_item") if e["visitor_id"] in person_of]
    for field, interest, by_chance in (
        ("item_category", "favourite_categories", 3 / 8),
        ("item_brand", "favourite_brands", 2 / 12),
    ):
        hits = sum(e[field] in person_of[e["visitor_id"]][interest] for e in views)
        assert hits / len(views) > 1.5 * by_chance


def test_visits_follow_the_hours_of_a_day(shop: Shop) -> None:
    bots = shop.bot_ids
    hours = Counter(
        event["occurred_at"][11:13]
        for event in shop.named("page_view")
        if event["visitor_id"] not in bots
    )
    evening = sum(hours[f"{hour:02d}"] for hour in range(18, 22))
    night = sum(hours[f"{hour:02d}"] for hour in range(1, 5))
    assert evening > 5 * night


def test_several_channels_lead_to_the_shop(shop: Shop) -> None:
    media = {event.get("utm_medium") for event in shop.events}
    hosts = {event.get("referrer_host") for event in shop.events}
    assert {"cpc", "email", "paid_social", None} <= media
    assert {"www.google.com", "www.instagram.com", None} <= hosts


def test_some_persons_buy_more_than_three_times(shop: Shop) -> None:
    person_of = {
        visitor: person["person_id"]
        for person in shop.truth("persons")
        for visitor in person["visitor_ids"]
    }
    orders = Counter(person_of[e["visitor_id"]] for e in shop.named("purchase"))
    assert sum(count > 3 for count in orders.values()) >= 2


def test_some_carts_are_left(shop: Shop) -> None:
    buyers = {event["visitor_id"] for event in shop.named("purchase")}
    assert len({e["visitor_id"] for e in shop.named("add_to_cart")} - buyers) > 10


@pytest.mark.parametrize("visitors", [1, 2, 19, 20])
def test_each_visitor_makes_an_event_however_few_there_are(
    visitors: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    small = open_shop(tmp_path_factory.mktemp("shop"), visitors=visitors, days=1)
    assert len({event["visitor_id"] for event in small.events}) == visitors

"""Segment's calls as events of ours, written by hand from Segment's spec."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from nearline.collector.door import Accepted, Refused
from nearline.collector.segment import CALLS, NotTaken, event_name, to_event
from nearline.events.contract import Event
from nearline.events.identifiers import find_identifier
from tests.unit.collector.sent_events import (
    DOOR,
    FIREFOX,
    PSEUDONYMIZER,
    SERVER,
    arrival,
)

PAYLOADS = Path(__file__).parents[3].parent / "shared" / "data" / "segment"


def _kept(call: str | None, message: dict[str, Any], batch: Any = None) -> Any:
    event = to_event(call, message, batch or {})
    outcome = DOOR.admit(event, SERVER, arrival(form="segment"))
    assert isinstance(outcome, Accepted), outcome
    return orjson.loads(outcome.value)


def _message(**fields: Any) -> dict[str, Any]:
    return {
        "messageId": "ajs-next-1772452800000-abc",
        "anonymousId": "507f191e810c19729de860ea",
        "timestamp": "2026-03-02T11:59:59.000Z",
        **fields,
    }


def test_a_product_that_is_viewed_is_a_view_of_an_item() -> None:
    event = _kept(
        "track",
        _message(
            event="Product Viewed",
            userId="97980cfea0067",
            properties={
                "product_id": "507f1f77bcf86cd799439011",
                "sku": "G-32",
                "category": "Games",
                "name": "Monopoly: 3rd Edition",
                "brand": "Hasbro",
                "price": 18.99,
                "quantity": 1,
                "currency": "usd",
                "url": "https://www.example.com/product/path?token=abc",
            },
            context={
                "ip": "8.8.8.8",
                "userAgent": FIREFOX,
                "page": {
                    "url": "https://shop.example/games/7?utm_medium=email&x=1",
                    "title": "Monopoly",
                    "referrer": "https://www.google.com/",
                },
                "campaign": {"name": "spring", "source": "newsletter"},
            },
        ),
    )
    assert event == {
        "event_id": "ajs-next-1772452800000-abc",
        "event_name": "view_item",
        "schema_version": "1.2",
        "occurred_at": "2026-03-02T11:59:59.000Z",
        "received_at": "2026-03-02T12:00:00.000Z",
        "source": "backend",
        "visitor_id": PSEUDONYMIZER.visitor("backend", "507f191e810c19729de860ea"),
        "user_id": PSEUDONYMIZER.user("97980cfea0067"),
        "pseudonym_key_id": "k7",
        "page_path": "/games/7",
        "page_title": "Monopoly",
        "referrer_host": "www.google.com",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "spring",
        "device_class": "desktop",
        "item_id": "507f1f77bcf86cd799439011",
        "item_category": "Games",
        "item_brand": "Hasbro",
        "price_cents": 1899,
        "quantity": 1,
        "currency": "USD",
        "properties": {"url": "https://www.example.com/product/path"},
    }


def test_an_order_that_is_completed_is_a_purchase() -> None:
    event = _kept(
        "track",
        _message(
            event="Order Completed",
            properties={
                "order_id": "50314b8e9bcf000000000000",
                "total": 27.50,
                "revenue": 25.00,
                "currency": "USD",
                "coupon": "hasbros",
                "products": [
                    {"product_id": "p1", "name": "Chair", "price": 19, "quantity": 1},
                    {"sku": "46493-32", "price": 3, "quantity": 2, "category": "Games"},
                ],
            },
        ),
    )
    assert event["event_name"] == "purchase"
    assert event["order_id"] == "50314b8e9bcf000000000000"
    assert event["revenue_cents"] == 2500
    assert event["items"] == [
        {"item_id": "p1", "price_cents": 1900, "quantity": 1},
        {
            "item_id": "46493-32",
            "item_category": "Games",
            "price_cents": 300,
            "quantity": 2,
        },
    ]
    assert event["properties"] == {"coupon": "hasbros", "total": 27.5}


def test_a_page_call_is_a_page_view() -> None:
    event = _kept(
        "page",
        _message(
            name="Home",
            category="Landing Pages",
            properties={
                "url": "https://shop.example/?utm_source=a",
                "path": "/",
                "title": "Welcome",
                "search": "?utm_source=a",
                "colour": "blue",
            },
        ),
    )
    assert event["event_name"] == "page_view"
    assert (event["page_path"], event["page_title"]) == ("/", "Welcome")
    assert event["page_type"] == "landing_pages"
    assert event["utm_source"] == "a"
    assert event["properties"] == {"colour": "blue"}


def test_a_screen_is_a_page_whose_path_is_its_name() -> None:
    event = _kept(
        "screen",
        _message(name="Order History", context={"device": {"type": "ios"}}),
    )
    assert (event["event_name"], event["page_path"]) == ("page_view", "/order_history")
    assert event["device_class"] == "mobile"


def test_identify_links_and_keeps_no_trait() -> None:
    traits = {"email": "anna@example.org", "name": "Anna", "plan": "gold"}
    event = _kept("identify", _message(userId="u-1", traits=traits))
    assert event["user_id"] == PSEUDONYMIZER.user("u-1")
    assert "properties" not in event
    assert "Anna" not in str(event)


@pytest.mark.parametrize(
    "place",
    [
        {"traits": {"email": " Anna@Example.org", "name": "Anna"}},
        {"context": {"traits": {"email": "anna@example.org", "name": "Anna"}}},
    ],
)
def test_a_mail_address_among_the_traits_is_the_contact(place: dict[str, Any]) -> None:
    event = _kept("identify", _message(userId="u-1", **place))
    assert event["contact_id"] == PSEUDONYMIZER.contact("anna@example.org")
    assert "example.org" not in str(event)
    assert "Anna" not in str(event)


@pytest.mark.parametrize("email", ["unknown", "", None, 5, ["anna@example.org"]])
def test_what_is_no_mail_address_is_no_contact(email: Any) -> None:
    # One contact of all who gave none would make them one person.
    event = _kept("identify", _message(userId="u-1", traits={"email": email}))
    assert "contact_id" not in event


def test_traits_without_an_account_are_no_login() -> None:
    traits = {"email": "anna@example.org", "plan": "gold"}
    event = _kept("identify", _message(traits=traits))
    assert event["event_name"] == "anonymous_identify"
    assert event["contact_id"] == PSEUDONYMIZER.contact("anna@example.org")
    assert "gold" not in str(event)


def test_an_alias_names_who_it_was_as_visitor_and_as_account() -> None:
    event = _kept("alias", _message(userId="u-2", previousId="u-1"))
    assert event["event_name"] == "alias"
    assert event["user_id"] == PSEUDONYMIZER.user("u-2")
    assert event["previous_user_id"] == PSEUDONYMIZER.user("u-1")
    assert event["previous_visitor_id"] == PSEUDONYMIZER.visitor("backend", "u-1")


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"userId": "u-2"}, "previous_user_id"), ({"previousId": "u-1"}, "user_id")],
)
def test_an_alias_needs_both_ids(fields: dict[str, Any], field: str) -> None:
    event = to_event("alias", _message(**fields), {})
    outcome = DOOR.admit(event, SERVER, arrival(form="segment"))
    assert isinstance(outcome, Refused)
    assert outcome.field == field


def test_a_group_call_says_that_somebody_was_there_and_nothing_of_the_group() -> None:
    traits = {"name": "Initech", "email": "office@initech.example"}
    message = _message(userId="u-1", groupId="g-4711", traits=traits)
    event = _kept("group", message)
    assert event["event_name"] == "group"
    assert event["user_id"] == PSEUDONYMIZER.user("u-1")
    assert "contact_id" not in event
    assert "4711" not in str(event)
    assert "Initech" not in str(event)


@pytest.mark.parametrize(
    ("currency", "ours"), [({}, "USD"), ({"currency": "eur"}, "EUR")]
)
def test_an_amount_that_names_no_currency_is_in_us_dollars(
    currency: dict[str, Any], ours: str
) -> None:
    properties = {"revenue": 5, **currency}
    event = _kept("track", _message(event="Order Completed", properties=properties))
    assert (event["revenue_cents"], event["currency"]) == (500, ours)


def test_a_server_that_knows_the_account_alone_has_a_visitor_per_account() -> None:
    message = _message(event="Order Refunded", userId=97, anonymousId=None)
    event = _kept("track", message)
    assert event["visitor_id"] == PSEUDONYMIZER.visitor("backend", "account:97")
    assert event["user_id"] == PSEUDONYMIZER.user("97")
    assert event["event_name"] == "refund"


def test_the_clock_is_corrected_by_the_time_of_sending() -> None:
    message = _message(
        event="Signed Up",
        timestamp="2026-03-02T12:09:50.000Z",
        sentAt="2026-03-02T12:10:00.000Z",
    )
    assert _kept("track", message)["occurred_at"] == "2026-03-02T11:59:50.000Z"


def test_a_message_id_of_another_form_is_hashed_the_same_every_time() -> None:
    message = _message(event="X", messageId="a b/ü")
    first, again = _kept("track", message), _kept("track", message)
    assert first["event_id"] == again["event_id"] != "a b/ü"


@pytest.mark.parametrize(
    ("categories", "consent"),
    [
        ({"Analytics": True, "Advertising": False}, (True, None, False)),
        ({"C0002": False, "C0003": True, "C0004": True}, (False, True, True)),
        ({"Analytics": True, "Performance": False}, (False, None, None)),
        ({"Analytics": "yes", "Other": True}, (None, None, None)),
    ],
)
def test_consent_is_read_from_the_context(
    categories: dict[str, Any], consent: tuple[bool | None, ...]
) -> None:
    context = {"consent": {"categoryPreferences": categories}}
    event = to_event("track", _message(event="X", context=context), {})
    names = ("analytics", "personalization", "marketing")
    assert tuple(event.get(f"consent_{name}") for name in names) == consent


def test_a_batchs_context_counts_for_its_messages() -> None:
    batch = {"context": {"page": {"url": "https://shop.example/x"}, "ip": "8.8.8.8"}}
    event = _kept(None, _message(type="track", event="X"), batch)
    assert event["page_path"] == "/x"


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("Products Searched", "search"),
        ("product list viewed", "view_item_list"),
        ("Product Clicked", "select_item"),
        ("Product Added", "add_to_cart"),
        ("Product Removed", "remove_from_cart"),
        ("Cart Viewed", "view_cart"),
        ("Checkout Started", "begin_checkout"),
        ("order_completed", "purchase"),
        ("OrderCompleted", "purchase"),
        ("Course Clicked", "course_clicked"),
        ("sizeGuideOpened", "size_guide_opened"),
        ("3D view", "event_3d_view"),
        ("  Spaced -- out!  ", "spaced_out"),
    ],
)
def test_names_are_ga4s_or_in_snake_case(name: str, ours: str) -> None:
    assert event_name(name) == ours


@pytest.mark.parametrize(
    "name",
    ["anna@example.org", "Mail to anna@example.org", "10.20.30.40", "555-123-4567"],
)
def test_a_name_that_is_an_identifier_does_not_become_a_word(name: str) -> None:
    event = to_event("track", _message(event=name), {})
    outcome = DOOR.admit(event, SERVER, arrival(form="segment"))
    assert isinstance(outcome, Refused)
    assert outcome.field == "event_name"
    assert b"anna" not in outcome.value
    screen = _kept("screen", _message(name=name))
    assert screen["page_path"] == "/redacted"
    page = _kept("page", _message(category=name))
    assert "page_type" not in page


@pytest.mark.parametrize("kind", ["users", "nonsense", None, 5])
def test_other_calls_are_not_taken(kind: Any) -> None:
    result = to_event(None, _message(type=kind), {})
    assert isinstance(result, NotTaken)
    assert result.rejection.field == "type"


@pytest.mark.parametrize("junk", [None, 5, "x", [], True, {"a": []}, [{}]])
@pytest.mark.parametrize("call", CALLS[:-1])
def test_junk_in_every_place_is_judged_and_breaks_nothing(call: str, junk: Any) -> None:
    names = ("messageId", "anonymousId", "userId", "timestamp", "sentAt", "context")
    more = ("properties", "event", "name", "category", "traits")
    message = dict.fromkeys((*names, *more), junk)
    contexts = dict.fromkeys(("page", "campaign", "device", "consent"), junk)
    for candidate in (message, _message(**message), _message(context=contexts)):
        for batch in ({}, {"context": junk}):
            event = to_event(call, candidate, batch)
            DOOR.admit(event, SERVER, arrival(form="segment"))


def test_payloads_of_segments_own_spec_are_taken_without_an_identifier() -> None:
    path = PAYLOADS / "payloads.jsonl"
    if not path.exists():
        pytest.skip("shared/data/segment is not beside the project")
    payloads = [json.loads(line)["payload"] for line in path.open()]
    accepted = 0
    for payload in payloads:
        event = to_event(None, payload, {})
        outcome = DOOR.admit(event, SERVER, arrival(form="segment"))
        has_person = "anonymousId" in payload or "userId" in payload
        assert isinstance(outcome, Accepted) is has_person
        text = outcome.value.decode()
        assert find_identifier(text) is None
        for name in ("anonymousId", "userId", "previousId", "groupId"):
            raw_id = payload.get(name)
            assert raw_id is None or raw_id == "userId" or raw_id not in text
        if isinstance(outcome, Accepted):
            Event.model_validate(orjson.loads(outcome.value))
            accepted += 1
    assert accepted == 25

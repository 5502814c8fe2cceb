"""Every rule of the event contract, and what is said of an event that breaks one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from nearline.events.contract import MAX_PROPERTIES_DEPTH, Event
from nearline.landing.formats import Rejection
from nearline.landing.nearline_format import NearlineFormat
from nearline.privacy.pseudonyms import Pseudonymizer

EVENT: dict[str, Any] = {
    "event_id": "e_1",
    "event_name": "page_view",
    "schema_version": "1.0",
    "occurred_at": "2026-03-02T12:00:00Z",
    "source": "shop_web",
    "visitor_id": "v_anna00001",
}
PSEUDONYMIZER = Pseudonymizer(b"0123456789abcdef")


def _refusal(**fields: Any) -> Rejection:
    result = NearlineFormat().to_row({**EVENT, **fields}, PSEUDONYMIZER)
    assert isinstance(result, Rejection)
    return result


def _nested(levels: int) -> dict[str, Any]:
    properties: dict[str, Any] = {"deepest": 1}
    for _ in range(levels - 1):
        properties = {"inner": properties}
    return properties


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"event_id": "A-b_c.d:0"},
        {"event_name": "size_guide_opened_2"},
        {"user_id": "u_4711abcd", "event_name": "identify"},
        {"visitor_id": "00000000-0000-4000-8000-00000000000a"},
        {"occurred_at": "2026-03-02T12:00:00.123456+01:00"},
        {"page_path": "/p/sku_0154"},
        {"page_path": "/"},
        {"page_title": "x" * 256},
        {"page_title": ""},
        {"referrer_host": "www.example.com"},
        {"price_cents": 0},
        {"price_cents": 10**12},
        {"revenue_cents": 1999, "currency": "EUR"},
        {"quantity": 1},
        {"quantity": 10_000},
        {"items": []},
        {"items": [{"item_id": "sku_1", "price_cents": 100, "quantity": 2}] * 200},
        {"engaged_seconds": 0},
        {"engaged_seconds": 86_400},
        {"scroll_rate": 0},
        {"scroll_rate": 1},
        {"device_class": "tablet"},
        {"consent_analytics": False, "consent_notice_version": "2026-06"},
        {"event_name": "exposure", "experiment_key": "x", "variant_key": "a"},
        {"properties": {"any": [1, 2.5, None, True, {"thing": "text"}]}},
        {"properties": _nested(MAX_PROPERTIES_DEPTH)},
        {"received_at": "2026-03-02T11:55:00Z"},
        dict.fromkeys(("user_id", "items", "received_at", "price_cents")),
    ],
)
def test_an_event_within_the_rules_is_accepted(fields: dict[str, Any]) -> None:
    Event.model_validate({**EVENT, **fields})


SECRET = "zz SECRET zz"


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"event_id": SECRET}, "event_id", "pattern"),
        ({"event_id": "x" * 65}, "event_id", "pattern"),
        ({"event_id": "e_1\n"}, "event_id", "pattern"),
        ({"event_id": 7}, "event_id", "got an integer"),
        ({"event_name": SECRET}, "event_name", "pattern"),
        ({"event_name": "Page_View"}, "event_name", "pattern"),
        ({"event_name": ""}, "event_name", "pattern"),
        ({"event_name": None}, "event_name", "is missing"),
        ({"schema_version": "2.0"}, "schema_version", "major version 2"),
        ({"schema_version": "0.9"}, "schema_version", "major version 0"),
        ({"schema_version": "1"}, "schema_version", "pattern"),
        ({"schema_version": 1.0}, "schema_version", "got a number"),
        ({"occurred_at": SECRET}, "occurred_at", "ISO 8601"),
        ({"occurred_at": "2026-03-02T12:00:00"}, "occurred_at", "timezone"),
        ({"occurred_at": "2026-03-02"}, "occurred_at", "timezone"),
        ({"occurred_at": "2026-13-02T12:00:00Z"}, "occurred_at", "datetime"),
        ({"occurred_at": 1772452800}, "occurred_at", "ISO 8601"),
        ({"occurred_at": "1772452800"}, "occurred_at", "ISO 8601"),
        ({"occurred_at": "1970-01-01T00:00:00Z"}, "occurred_at", "2000 to 2099"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "2000 to 2099"),
        ({"occurred_at": "9999-12-31T23:59:59-14:00"}, "occurred_at", "2000 to 2099"),
        ({"sent_at": True}, "sent_at", "got a boolean"),
        ({"received_at": [SECRET]}, "received_at", "got a list"),
        ({"received_at": "2026-03-02T11:54:59Z"}, "occurred_at", "300 s after"),
        ({"source": "Shop Web"}, "source", "pattern"),
        ({"visitor_id": "short"}, "visitor_id", "at least 8"),
        ({"visitor_id": "v" * 65}, "visitor_id", "at most 64"),
        ({"visitor_id": "491701234567"}, "visitor_id", "pattern"),
        ({"visitor_id": "anna@example.com"}, "visitor_id", "pattern"),
        ({"visitor_id": None}, "visitor_id", "is missing"),
        ({"user_id": "541312140"}, "user_id", "pattern"),
        ({"user_id": 541312140}, "user_id", "got an integer"),
        ({"page_path": "p"}, "page_path", "pattern"),
        ({"page_path": "/a b"}, "page_path", "pattern"),
        ({"page_path": "/a?token=SECRET"}, "page_path", "without query"),
        ({"page_path": "/a#SECRET"}, "page_path", "without query"),
        ({"page_title": "x" * 257}, "page_title", "at most 256"),
        ({"page_title": {"x": SECRET}}, "page_title", "got an object"),
        ({"referrer_host": "https://example.com/"}, "referrer_host", "pattern"),
        ({"price_cents": -1}, "price_cents", "greater than or equal to 0"),
        ({"price_cents": 10**12 + 1}, "price_cents", "less than or equal"),
        ({"price_cents": 19.99}, "price_cents", "got a number"),
        ({"price_cents": "19.99"}, "price_cents", "got text"),
        ({"price_cents": "9" * 5_000}, "price_cents", "got text"),
        ({"price_cents": True}, "price_cents", "got a boolean"),
        ({"revenue_cents": 1}, "currency", "revenue_cents needs it"),
        ({"currency": "eur"}, "currency", "pattern"),
        ({"quantity": 0}, "quantity", "greater than or equal to 1"),
        ({"items": [{"item_id": "a"}] * 201}, "items", "at most 200"),
        ({"items": SECRET}, "items", "got text"),
        ({"items": [{"item_id": "a"}, {}]}, "items", "line 2, item_id: is missing"),
        ({"items": [{"item_id": SECRET}]}, "items", "line 1, item_id: "),
        ({"items": [{"item_id": "a", SECRET: 1}]}, "items", "line 1: Extra"),
        ({"engaged_seconds": -0.1}, "engaged_seconds", "greater than or equal to 0"),
        ({"engaged_seconds": 86_401}, "engaged_seconds", "less than or equal"),
        ({"engaged_seconds": float("nan")}, "engaged_seconds", "got a number"),
        ({"scroll_rate": 1.01}, "scroll_rate", "less than or equal to 1"),
        ({"scroll_rate": SECRET}, "scroll_rate", "got text"),
        ({"device_class": SECRET}, "device_class", "'desktop', 'mobile'"),
        ({"consent_analytics": SECRET}, "consent_analytics", "got text"),
        ({"consent_analytics": 2}, "consent_analytics", "got an integer"),
        ({"event_name": "exposure", "variant_key": "a"}, "experiment_key", "exposure"),
        ({"event_name": "exposure", "experiment_key": "x"}, "variant_key", "exposure"),
        ({"event_name": "identify"}, "user_id", "identify"),
        ({"properties": [SECRET]}, "properties", "got a list"),
        ({"properties": _nested(MAX_PROPERTIES_DEPTH + 1)}, "properties", "16 levels"),
        ({"nickname": SECRET}, "nickname", "not a field of the event contract"),
        ({"anna@example.com": 1}, "(unknown field)", "not a field"),
        ({SECRET: 1}, "(unknown field)", "not a field"),
    ],
)
def test_a_broken_rule_is_told_by_field_and_type_and_never_by_value(
    fields: dict[str, Any], field: str, says: str
) -> None:
    refusal = _refusal(**fields)
    assert refusal.field == field
    assert says in refusal.reason
    told = f"{refusal.field} {refusal.reason} {refusal.event_name}"
    for secret in ("SECRET", "541312140", "491701234567", "example.com", "1772452800"):
        assert secret not in told


@pytest.mark.parametrize(
    "field",
    ["event_name", "schema_version", "occurred_at", "source", "visitor_id"],
)
def test_what_every_event_needs_may_not_be_left_out(field: str) -> None:
    fields = {name: value for name, value in EVENT.items() if name != field}
    refusal = NearlineFormat().to_row(fields, PSEUDONYMIZER)
    assert isinstance(refusal, Rejection)
    assert (refusal.field, refusal.reason) == (
        field,
        "is missing; every event needs it",
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("page_path", "/u/anna%40example.com"),
        ("link_path", "/u/anna%40example.com"),
        ("link_host", "203.0.113.7"),
        ("page_title", "Hello anna@example.com"),
        ("referrer_host", "203.0.113.7"),
        ("utm_source", "+49 170 1234567"),
        ("utm_medium", "2001:db8::8a2e:370:7334"),
        ("utm_campaign", "anna%2540example.com"),
        ("utm_term", "anna\\u0040example.com"),
        ("utm_content", "(555) 123-4567"),
        ("item_category", "anna@example.com"),
        ("item_brand", "anna@example.com"),
        ("search_term", "who is anna@example.com"),
        ("properties", {"note": [{"to": "anna@example.com"}]}),
        ("properties", {"anna@example.com": 1}),
        ("items", [{"item_id": "a"}, {"item_id": "b", "item_brand": "a@example.com"}]),
        ("items", [{"item_id": "a", "item_category": "a@example.com"}]),
    ],
)
def test_a_direct_identifier_in_any_text_is_refused_without_repeating_it(
    field: str, text: Any
) -> None:
    refusal = _refusal(**{field: text})
    assert refusal.field == field
    assert refusal.reason.startswith("holds a direct identifier (")
    assert "example" not in refusal.reason


def test_times_become_utc_with_milliseconds() -> None:
    event = Event.model_validate(
        {**EVENT, "occurred_at": "2026-03-02T13:00:00.123999+01:00"}
    )
    assert event.occurred_at == datetime(2026, 3, 2, 12, 0, 0, 123_000, UTC)
    assert event.occurred_at.utcoffset() == UTC.utcoffset(None)


def test_an_event_name_that_is_no_name_is_not_repeated() -> None:
    assert _refusal(event_name="Anna Example").event_name is None
    assert _refusal(source="No Name").event_name == "page_view"


def test_unknown_fields_are_accepted_from_a_later_minor_version_and_left_out() -> None:
    event = Event.model_validate(
        {
            **EVENT,
            "schema_version": "1.7",
            "mood": "good",
            "items": [{"item_id": "a", "colour": "red"}],
        }
    )
    assert event.schema_version == "1.7"
    assert not hasattr(event, "mood")
    assert event.items is not None
    assert event.items[0].model_dump(exclude_none=True) == {
        "item_id": "a",
        "quantity": 1,
    }


def test_a_later_minor_version_keeps_every_known_rule() -> None:
    assert _refusal(schema_version="1.7", price_cents=-1).field == "price_cents"


@pytest.mark.parametrize("version", ["1.0", "2.0", "2.7", "1.x", None])
def test_unknown_fields_are_refused_from_every_other_version(
    version: str | None,
) -> None:
    with pytest.raises(ValidationError) as problem:
        Event.model_validate({**EVENT, "schema_version": version, "mood": "good"})
    assert ("mood",) in [error["loc"] for error in problem.value.errors()]

"""What was valid under any released version of the contract is valid today.

Two opinions: the committed schemas are compared field by field, and events that an
independent validator (jsonschema) accepts under an old schema are given to ours.
"""

import hashlib
import json
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nearline.events.contract import Event, json_schema

# A released schema never changes: whoever built on it must find it as it was.
RELEASED = {
    "event-1-0.json": "3381e4b5870db773",
    "event-1-1.json": "387a8af608e57d71",
    "event-1-2.json": "e591aa3a4fa65786",
}
SCHEMAS = files("nearline.events") / "schemas"


def _schema(name: str) -> dict[str, Any]:
    return json.loads((SCHEMAS / name).read_text())


def test_every_committed_schema_is_a_released_one() -> None:
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        for path in SCHEMAS.iterdir()
        if path.name.endswith(".json")
    }
    assert digests == RELEASED


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("shape", ["Event", "Item"])
def test_fields_only_grow_and_keep_their_form(name: str, shape: str) -> None:
    old, new = _schema(name), json_schema()
    if shape == "Item":
        old, new = old["$defs"]["Item"], new["$defs"]["Item"]
    assert set(new["required"]) <= set(old["required"])
    for field, form in old["properties"].items():
        now = new["properties"][field]
        for noise in ("description", "title"):
            form.pop(noise, None)
            now.pop(noise, None)
        assert now == form, field


TEXT = st.text("abcXYZ019_-", min_size=1, max_size=20)
OPTIONAL_1_0 = {
    "page_path": st.just("/a/b"),
    "page_title": TEXT,
    "price_cents": st.integers(0, 10**12),
    "currency": st.sampled_from(["EUR", "JPY"]),
    "engaged_seconds": st.floats(0, 86_400),
    "scroll_rate": st.floats(0, 1),
    "device_class": st.sampled_from(["desktop", "mobile", "tablet", "tv", "other"]),
    "consent_analytics": st.booleans(),
    "items": st.lists(st.fixed_dictionaries({"item_id": TEXT}), max_size=3),
    "properties": st.dictionaries(TEXT, st.integers() | TEXT, max_size=3),
}


@given(
    event=st.fixed_dictionaries(
        {
            "event_id": TEXT,
            "event_name": st.sampled_from(["page_view", "add_to_cart", "my_own"]),
            "schema_version": st.just("1.0"),
            "occurred_at": st.datetimes().map(
                lambda at: at.replace(year=2026).isoformat() + "Z"
            ),
            "source": st.sampled_from(["web", "app_2"]),
            "visitor_id": TEXT.map(lambda text: f"v_{text:a<8}"),
        },
        optional=OPTIONAL_1_0,
    )
)
def test_an_event_valid_under_1_0_is_valid_now(event: dict[str, Any]) -> None:
    Draft202012Validator(_schema("event-1-0.json")).validate(event)
    assert Event.model_validate(event).event_id == event["event_id"]


def test_an_event_of_each_released_version_is_accepted_side_by_side() -> None:
    common = {
        "event_id": "e1",
        "event_name": "click",
        "occurred_at": "2026-03-02T12:00:00Z",
        "source": "web",
        "visitor_id": "v_abcdefgh",
    }
    old = Event.model_validate(common | {"schema_version": "1.0"})
    new = Event.model_validate(
        common | {"schema_version": "1.1", "link_host": "example.com"}
    )
    assert (old.link_host, new.link_host) == (None, "example.com")

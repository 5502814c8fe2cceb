"""The committed JSON Schema is the contract that the code holds."""

import json
from importlib.resources import files

import pytest

from nearline.events.contract import (
    SCHEMA_VERSION,
    Event,
    json_schema,
    schema_file_name,
)


def test_the_committed_schema_is_the_one_made_from_the_code() -> None:
    committed = files("nearline.events") / "schemas" / schema_file_name()
    assert json.loads(committed.read_text()) == json_schema()


def test_the_schema_is_named_by_its_version() -> None:
    assert json_schema()["$id"] == f"urn:nearline:event:{SCHEMA_VERSION}"
    assert schema_file_name("1.12") == "event-1-12.json"


@pytest.mark.parametrize("name", ["Event", "Item"])
def test_unknown_fields_are_closed_off(name: str) -> None:
    schema = json_schema()
    shape = schema if name == "Event" else schema["$defs"][name]
    assert shape["additionalProperties"] is False


def test_what_an_event_needs_is_required_by_the_schema() -> None:
    required = {name for name, f in Event.model_fields.items() if f.is_required()}
    assert set(json_schema()["required"]) == required

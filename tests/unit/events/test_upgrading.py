"""Events of an older major version reach ours by the registered way, or are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from nearline.events.contract import Event
from nearline.events.upgrading import upgrade_event

OLD = {
    "event_id": "e1",
    "event_name": "page_view",
    "schema_version": "0.3",
    "occurred_at": "2026-03-02T12:00:00Z",
    "source": "web",
    "client": "v_abcdefgh",
}


def _from_0(fields: dict[str, Any]) -> dict[str, Any]:
    fields["visitor_id"] = fields.pop("client")
    return fields | {"schema_version": "1.0"}


def test_a_registered_upgrader_brings_an_old_event_to_the_contract() -> None:
    event = Event.model_validate(upgrade_event(OLD, {0: _from_0}))
    assert event.visitor_id == "v_abcdefgh"
    assert "client" in OLD


def test_without_an_upgrader_the_contract_refuses_it_and_says_why() -> None:
    assert upgrade_event(OLD, {}) is OLD
    with pytest.raises(ValidationError, match="major version 0 is not supported"):
        Event.model_validate(OLD)


@pytest.mark.parametrize("version", ["1.0", "1.9", "2.0", "x", None, 1, ["0.1"]])
def test_only_older_majors_are_touched(version: object) -> None:
    fields = OLD | {"schema_version": version}
    assert upgrade_event(fields, {0: _from_0}) is fields


def test_no_upgrader_is_registered_by_ourselves() -> None:
    # Versions 1.x are all that we ever released.
    assert upgrade_event(OLD) is OLD

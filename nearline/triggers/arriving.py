"""Records of the event log as what triggers take of them.

Belongs here: from records to events, and whether one may be used, which the published
release's own SQL says (consent, bots, sources, suppression). Not here: what happens then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nearline.live.arrived_facts import ArrivedFacts
from nearline.log import LogRecord
from nearline.privacy.consents import PURPOSES, Purpose
from nearline.triggers.moments import milliseconds
from nearline.triggers.reading import EVENT_FIELDS

OWN_SOURCE = "nearline_triggers"
"""The source of what triggers write into the log; they do not follow themselves."""

_COLUMNS = (
    *EVENT_FIELDS,
    *("event_id", "event_name", "source", "occurred_at", "received_at", "visitor_id"),
    *("user_id", "properties"),
    *("consent_analytics", "consent_personalization", "consent_marketing"),
)


@dataclass(frozen=True, slots=True)
class ArrivedEvent:
    """One event, with the moment (ms since 1970, UTC) of its arrival.

    `consents`: what it says by purpose; None where it says nothing of consent.
    `is_usable`: whether its content may be used to decide anything.
    """

    event_id: str
    name: str
    visitor_id: str
    user_id: str | None
    at: int
    arrival: int
    fields: Mapping[str, Any]
    is_usable: bool
    consents: Mapping[Purpose, bool] | None = None
    message_id: str | None = None
    decision_id: str | None = None


def read_events(
    facts: ArrivedFacts, records: Sequence[LogRecord], now: datetime
) -> list[ArrivedEvent]:
    """The events among `records`, in the order of the log."""
    arrivals = facts.take(records, now)
    if not arrivals.events.num_rows:
        return []
    usable = facts.usable_event_ids()
    rows = arrivals.events.select(list(_COLUMNS)).to_pylist()
    latest = milliseconds(now)
    return [
        _event(row, row["event_id"] in usable, latest)
        for row in rows
        if row["source"] != OWN_SOURCE
    ]


def _event(row: Mapping[str, Any], is_usable: bool, latest: int) -> ArrivedEvent:
    # What was read has arrived, whatever a writer says: time must not run ahead of now.
    arrival = min(milliseconds(row["received_at"]), latest)
    fields = {name: row[name] for name in EVENT_FIELDS if row[name] is not None}
    if "items" in fields:
        fields["items"] = _lines(fields["items"])
    said = {purpose: row[f"consent_{purpose}"] for purpose in ("analytics", *PURPOSES)}
    consents = None
    if any(value is not None for value in said.values()):
        # Who states some purposes and not this one was asked, and gave none.
        consents = {purpose: bool(said[purpose]) for purpose in PURPOSES}
    return ArrivedEvent(
        event_id=row["event_id"],
        name=row["event_name"],
        visitor_id=row["visitor_id"],
        user_id=row["user_id"],
        at=milliseconds(row["occurred_at"]),
        arrival=arrival,
        fields=fields,
        is_usable=is_usable,
        consents=consents,
        message_id=_named(row["properties"], "message_id"),
        decision_id=_named(row["properties"], "decision_id"),
    )


def _lines(items: Any) -> list[dict[str, Any]]:
    lines = json.loads(items) if isinstance(items, str) else items
    return [
        {"item_id": line["item_id"], "quantity": line.get("quantity") or 1}
        for line in lines
    ]


def _named(properties: Any, name: str) -> str | None:
    given = json.loads(properties) if isinstance(properties, str) else properties
    found = given.get(name) if isinstance(given, dict) else None
    return found if isinstance(found, str) else None

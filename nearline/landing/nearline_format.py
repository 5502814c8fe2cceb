"""The contract's own form: one event a record, checked whole, identifiers refused.

Ids are pseudonyms already when they come in this form, so nothing is hashed; an
identifier in the clear is a defect of the sender and goes to quarantine.
"""

import functools
import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa
from pydantic import ValidationError

from nearline.events.contract import Event
from nearline.events.identifiers import IdentifierKind, find_identifier
from nearline.landing.formats import PROVENANCE, Rejection, type_name
from nearline.privacy.pseudonyms import Pseudonymizer

_JSON_FIELDS = frozenset({"items", "properties"})
_TIME_FIELDS = frozenset({"occurred_at", "sent_at", "received_at"})
_INTEGER_FIELDS = frozenset({"price_cents", "quantity", "revenue_cents"})
_NUMBER_FIELDS = frozenset({"engaged_seconds", "scroll_rate"})
_BOOLEAN_FIELDS = frozenset(
    {"consent_analytics", "consent_personalization", "consent_marketing"}
)
_NOT_NULL = frozenset(
    {
        "event_id",
        "event_name",
        "schema_version",
        "occurred_at",
        "received_at",
        "source",
        "visitor_id",
    }
)
# Text that people or pages write. Ids and names are held to their pattern instead,
# since an opaque id may look like a phone number.
_FREE_TEXT = (
    "page_path",
    "page_title",
    "referrer_host",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "item_category",
    "item_brand",
    "search_term",
)

_find_identifier = functools.lru_cache(maxsize=100_000)(find_identifier)


def _arrow_type(name: str) -> pa.DataType:
    if name in _TIME_FIELDS:
        return pa.timestamp("us")
    if name in _INTEGER_FIELDS:
        return pa.int64()
    if name in _NUMBER_FIELDS:
        return pa.float64()
    if name in _BOOLEAN_FIELDS:
        return pa.bool_()
    return pa.string()


class NearlineFormat:
    """Reads `nearline.events.Event` from JSON lines, CSV or Parquet."""

    name = "nearline"
    known_columns = frozenset(Event.model_fields)
    # An import may leave out what the door can fill in: the id (a content hash) and
    # the arrival (taken to be the occurrence).
    required_columns = frozenset(_NOT_NULL - {"event_id", "received_at"})
    schema = pa.schema(
        [
            *(
                pa.field(name, _arrow_type(name), nullable=name not in _NOT_NULL)
                for name in Event.model_fields
            ),
            *PROVENANCE,
        ]
    )

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        fields = {name: _typed(name, value) for name, value in fields.items()}
        if "event_id" not in fields:
            fields["event_id"] = content_hash(fields)
        try:
            event = Event.model_validate(fields)
        except ValidationError as problem:
            return _rejection(problem, fields)
        row = dict(event.__dict__)
        leak = _leaking_field(row)
        if leak is not None:
            field, kind = leak
            return Rejection(
                field,
                f"holds a direct identifier ({kind}); hash it or leave it out",
                event.event_name,
            )
        for name in _TIME_FIELDS:
            if row[name] is not None:
                row[name] = row[name].replace(tzinfo=None)
        if row["received_at"] is None:
            row["received_at"] = row["occurred_at"]
        if event.items is not None:
            row["items"] = orjson.dumps(
                [item.model_dump(exclude_none=True) for item in event.items]
            ).decode()
        if event.properties is not None:
            row["properties"] = orjson.dumps(event.properties).decode()
        return row


def content_hash(fields: dict[str, Any]) -> str:
    """Id of an event that has none: SHA-256 of its fields, in any order, 128 bits."""
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(text).hexdigest()[:32]


def _typed(name: str, value: Any) -> Any:
    """CSV gives text only and Parquet naive times; JSON passes as it is."""
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    if not isinstance(value, str):
        return value
    if name in _JSON_FIELDS:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    if name in _INTEGER_FIELDS and value.isascii() and value.isdigit():
        return int(value)
    return value


def _leaking_field(row: dict[str, Any]) -> tuple[str, IdentifierKind] | None:
    for name in _FREE_TEXT:
        text = row[name]
        if text is not None and (kind := _find_identifier(text)):
            return name, kind
    for name in _JSON_FIELDS:
        for text in _texts(row[name]):
            if kind := _find_identifier(text):
                return name, kind
    return None


def _texts(value: Any) -> list[str]:
    """Every text inside nested JSON, keys included; ids of items are held by pattern."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for part in pair for text in _texts(part)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    if hasattr(value, "item_category"):
        return [text for text in (value.item_category, value.item_brand) if text]
    return []


def _rejection(problem: ValidationError, fields: dict[str, Any]) -> Rejection:
    error = problem.errors(include_url=False, include_context=False)[0]
    path = [str(part) for part in error["loc"]]
    field = path[0] if path else "event"
    name = fields.get("event_name")
    event_name = name if isinstance(name, str) and name.isidentifier() else None
    if error["type"] == "extra_forbidden" and len(path) == 1:
        # A sender's own key may itself be personal: it is named only when it is plain.
        plain = field.isidentifier() and not find_identifier(field)
        return Rejection(
            field if plain else "(unknown field)",
            "is not a field of the event contract; put it under properties",
            event_name,
        )
    if error["type"] == "missing":
        return Rejection(field, "is missing; every event needs it", event_name)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error" and not path:
        return Rejection(message.split(" ", 1)[0], message, event_name)
    return Rejection(
        field, f"{message}; got {type_name(error['input'])}", event_name
    )

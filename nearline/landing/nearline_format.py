"""The contract's own form: one event a record, checked whole, identifiers refused.

Ids are pseudonyms already when they come in this form, so nothing is hashed; an
identifier in the clear is a defect of the sender and goes to quarantine.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, get_args

import orjson
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from nearline.events.contract import (
    HOST_FIELDS,
    PATH_FIELDS,
    TEXT_FIELDS,
    Event,
    Item,
    Name,
    Pseudonym,
    major_version,
)
from nearline.events.identifiers import IdentifierKind, find_identifier
from nearline.events.upgrading import upgrade_event
from nearline.landing.formats import (
    MASK,
    PROVENANCE,
    Rejection,
    is_plain_name,
    masked_record,
    type_name,
)
from nearline.privacy.pseudonyms import Pseudonymizer

_JSON_FIELDS = frozenset({"items", "properties"})
_TIME_FIELDS = frozenset({"occurred_at", "sent_at", "received_at"})
_INTEGER_FIELDS = frozenset({"price_cents", "quantity", "revenue_cents"})
_NUMBER_FIELDS = frozenset({"engaged_seconds", "scroll_rate", "clock_skew_seconds"})
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
_FREE_TEXT = (*PATH_FIELDS, *HOST_FIELDS, *TEXT_FIELDS)

_CONVERTED_FIELDS = tuple(_JSON_FIELDS | _TIME_FIELDS | _INTEGER_FIELDS)
_MAX_INTEGER_DIGITS = 18
_NAME = re.compile(get_args(Name)[1].pattern)
_PSEUDONYM: TypeAdapter[str] = TypeAdapter(Pseudonym)
# Stands in for the id of an event that has none until its content can be hashed.
_NO_ID = "none"

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
    allows_other_columns = False
    files: tuple[str, ...] = ()
    text = None
    mapping = None
    known_columns = frozenset(Event.model_fields)
    # An import may leave out what the door can fill in: the id (a content hash) and
    # the arrival (taken to be the occurrence).
    required_columns = frozenset(_NOT_NULL - {"event_id", "received_at"})
    personal_columns = frozenset(
        {
            "visitor_id",
            "user_id",
            "contact_id",
            "previous_visitor_id",
            "previous_user_id",
        }
    )
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
        return self.to_event_row(fields)

    def from_dead_letter(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        return self.to_event_row(fields)

    def kept_of(
        self,
        fields: Mapping[str, Any],
        rejection: Rejection,
        pseudonymizer: Pseudonymizer,
    ) -> dict[str, Any]:
        refused = rejection.refused | {rejection.field}
        persons = {
            name: fields[name]
            if name not in refused and _is_pseudonym(fields[name])
            else MASK
            for name in sorted(self.personal_columns)
            if fields.get(name) is not None
        }
        return (
            masked_record(fields, rejection, self.known_columns, self.personal_columns)
            | persons
        )

    def source_of(self, fields: Mapping[str, Any]) -> str | None:
        return _if_of_form(_NAME, fields.get("source"))

    def version_of(self, fields: Mapping[str, Any]) -> str | None:
        version = fields.get("schema_version")
        return None if major_version(version) is None else str(version)

    def event_name_of(self, fields: Mapping[str, Any]) -> str | None:
        return _if_of_form(_NAME, fields.get("event_name"))

    def to_event(self, fields: Mapping[str, Any]) -> Event | Rejection:
        """The event that a record states, identifiers looked for, or why it is none."""
        try:
            converted = upgrade_event(dict(fields))
        except Exception as problem:
            # An upgrader is a shop's own code: what it cannot take is one more reason
            # to set an event aside, and must not hold up the events behind it.
            failure = type(problem).__name__
            return Rejection(
                "schema_version",
                f"its upgrader failed ({failure}); mend the upgrader and replay",
                self.event_name_of(fields),
            )
        for name in _CONVERTED_FIELDS:
            value = converted.get(name)
            if value is not None:
                converted[name] = _converted(name, value)
        try:
            event = Event.model_validate(converted)
        except ValidationError as problem:
            return _rejection(problem, converted)
        leak = _leaking_field(event.__dict__)
        if leak is not None:
            field, kind = leak
            return Rejection(
                field,
                f"holds a direct identifier ({kind}); hash it or leave it out",
                event.event_name,
            )
        return event

    def to_event_row(self, fields: dict[str, Any]) -> dict[str, Any] | Rejection:
        """The row of an event in the contract's form, which holds pseudonyms alone."""
        has_id = fields.get("event_id") is not None
        event = self.to_event(fields if has_id else {**fields, "event_id": _NO_ID})
        if isinstance(event, Rejection):
            return event
        row = dict(event.__dict__)
        if not has_id:
            # Over the event as understood: the same from every kind of file.
            row["event_id"] = content_hash(
                event.model_dump(exclude={"event_id"}, exclude_none=True)
            )
        if row["received_at"] is None:
            row["received_at"] = row["occurred_at"]
        if event.items is not None:
            row["items"] = orjson.dumps(
                [item.model_dump(exclude_none=True) for item in event.items]
            ).decode()
        if event.properties is not None:
            row["properties"] = orjson.dumps(event.properties, default=str).decode()
        return row


def _is_pseudonym(value: object) -> bool:
    """Whether it has the form of one, so that it may be kept of a refused record."""
    try:
        return find_identifier(_PSEUDONYM.validate_python(value)) is None
    except ValidationError:
        return False


def _if_of_form(pattern: re.Pattern[str], value: object) -> str | None:
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def content_hash(fields: Mapping[str, Any]) -> str:
    """Id of an event that has none: SHA-256 of its fields, in any order, 128 bits."""
    text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS, default=str)
    return hashlib.sha256(text).hexdigest()[:32]


def _converted(name: str, value: Any) -> Any:
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
        return int(value) if len(value) <= _MAX_INTEGER_DIGITS else value
    return value


def _leaking_field(row: dict[str, Any]) -> tuple[str, IdentifierKind] | None:
    for name in _FREE_TEXT:
        text = row[name]
        if text is not None and (kind := _find_identifier(text)):
            return name, kind
    for name in _JSON_FIELDS:
        if row[name] is not None:
            for text in _texts(row[name]):
                if kind := _find_identifier(text):
                    return name, kind
    return None


def _texts(value: Any) -> list[str]:
    """Every text inside nested JSON, keys included; item ids are held by pattern."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [
            text for pair in value.items() for part in pair for text in _texts(part)
        ]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    if isinstance(value, Item):
        return [text for text in (value.item_category, value.item_brand) if text]
    if value is None or isinstance(value, bool | int | float):
        return []
    return [str(value)]


def _rejection(problem: ValidationError, fields: Mapping[str, Any]) -> Rejection:
    errors = problem.errors(include_url=False, include_context=False)
    refused = frozenset(str(error["loc"][0]) for error in errors if error["loc"])
    name = fields.get("event_name")
    is_name = isinstance(name, str) and _NAME.fullmatch(name)
    error = errors[0]
    message = error["msg"].removeprefix("Value error, ")
    path = error["loc"]
    if not path:
        # A rule over several fields words the one that is missing or wrong first.
        field, reason = message.split(" ", 1)
    elif error["type"] == "extra_forbidden" and len(path) == 1:
        # A sender's own key may itself be personal: it is named only when it is plain.
        field = str(path[0])
        field = field if is_plain_name(field) else "(unknown field)"
        reason = "is not a field of the event contract; put it under properties"
    else:
        field = str(path[0])
        is_missing = error["type"] == "missing" or error["input"] is None
        reason = f"{message}; got {type_name(error['input'])}"
        if is_missing:
            reason = "is missing; every event needs it"
        if field == "items" and len(path) > 1:
            reason = _in_item_line(path[1:], "is missing" if is_missing else reason)
    return Rejection(field, reason, name if is_name else None, refused)


def _in_item_line(path: tuple[int | str, ...], reason: str) -> str:
    """Adds where in `items` the fault is, without a key that the contract lacks."""
    known = "".join(f", {part}" for part in path[1:] if part in Item.model_fields)
    return f"line {int(path[0]) + 1}{known}: {reason}"

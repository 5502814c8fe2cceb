"""Calls of Segment and RudderStack made flat, as payloads or as rows of warehouse tables.

Both forms come out under one set of names: the warehouse's for what is in `context` and
at the top, `properties_…` for the properties that mean something in every shop, and all
other properties as one object under `properties_others`. Of the traits a mail address
is left and nothing else; which columns of a table are traits depends on the call, so
the call is told here. What a call means is SQL (dbt's macro `calls_as_events`).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from nearline.collector.senders import judge_sender
from nearline.events.identifiers import IdentifierKind, find_identifier
from nearline.events.personal_keys import names_person
from nearline.landing.formats import FILE_NAME, Rejection
from nearline.landing.own_ids import without_ids
from nearline.landing.product_lines import line_reader
from nearline.landing.treatments import as_text_id

Fields = Mapping[str, Any]

CALL_OF_TABLE: Mapping[str, str] = {
    "tracks": "track",
    "pages": "page",
    "screens": "screen",
    "identifies": "identify",
    "aliases": "alias",
    "groups": "group",
}
"""The warehouse's tables of calls; every other table holds one event of `track`."""

_CALLS = frozenset(CALL_OF_TABLE.values())
_TABLE = re.compile(rf"(?<![a-z])({'|'.join(CALL_OF_TABLE)})(?![a-z])")
# Names at the top of a payload and in a table.
_TOP: Mapping[str, str] = {
    "messageId": "id",
    "anonymousId": "anonymous_id",
    "userId": "user_id",
    "timestamp": "timestamp",
    "originalTimestamp": "original_timestamp",
    "sentAt": "sent_at",
    "receivedAt": "received_at",
}
_ONLY_IN_PAYLOADS = frozenset(
    {*_TOP, "context", "properties", "traits", "previousId", "groupId"} - {"timestamp"}
)
# Paths within a payload's context; a table has them as columns, joined by `_`.
_CONTEXT: Mapping[str, tuple[str, ...]] = {
    **{
        f"context_page_{name}": ("page", name)
        for name in ("url", "path", "title", "referrer")
    },
    **{
        f"context_campaign_{name}": ("campaign", name)
        for name in ("name", "source", "medium", "term", "content")
    },
    "context_device_type": ("device", "type"),
    "context_user_agent": ("userAgent",),
    "context_session_id": ("sessionId",),
    "context_traits_email": ("traits", "email"),
}
_ADDRESSES = (
    "properties_url",
    "properties_path",
    "context_page_url",
    "context_page_path",
)
_TEXTS = (
    "properties_title",
    "properties_name",
    "properties_category",
    "properties_query",
    "properties_others",
    *(name for name in _CONTEXT if name not in ("context_session_id", *_ADDRESSES)),
)
_CONSENT = "context_consent_category_preferences"
# Columns of a table that are no property: what every row has, and the loader's own.
_NO_PROPERTIES = frozenset(
    {
        *_TOP.values(),
        FILE_NAME,
        "event",
        "event_text",
        "previous_id",
        "group_id",
        "channel",
        "rudder_id",
        "message_id",
        "version",
        "uuid",
        "uuid_ts",
        "loaded_at",
        "row_id",
    }
)
_PAGE_PROPERTIES = ("url", "path", "title", "referrer", "name", "category")
# Addresses once more, which the columns above say.
_LEFT_OF_PAGES = (
    "search",
    "tab_url",
    "initial_referrer",
    "initial_referring_domain",
)
_TRACK_PROPERTIES = ("currency", "order_id", "query", "experiment_id", "variation_id")
_AMOUNTS = ("revenue", "total", "value")
_ITEM_PROPERTIES = ("product_id", "sku", "category", "brand", "price", "quantity")
_PRODUCTS = "properties_products"
_MOST_PRODUCTS = 200
_LETTER_OR_DIGIT = re.compile(r"[A-Za-z0-9]")
_read_line = line_reader()


def flat_call(fields: dict[str, Any]) -> dict[str, Any] | Rejection:
    """One call as flat inputs; without `type` where it cannot be told what it is."""
    is_payload = not _ONLY_IN_PAYLOADS.isdisjoint(fields)
    if is_payload:
        call = _call_of_payload(fields)
        flat = {ours: fields.get(theirs) for theirs, ours in _TOP.items()}
        flat |= _context_of_payload(_object(fields.get("context")))
        properties = dict(_object(fields.get("properties")))
        traits = _object(fields.get("traits"))
        event, previous_id = fields.get("event"), fields.get("previousId")
        named = {name: fields.get(name) for name in ("name", "category")}
    else:
        call = _call_of_row(fields)
        flat = {name: fields.get(name) for name in _TOP.values()}
        flat |= _context_of_row(fields)
        properties = _properties_of_row(fields, call)
        traits = fields
        event = fields.get("event_text") or fields.get("event")
        previous_id = fields.get("previous_id")
        named = {}
    flat["type"] = call
    flat["event"] = _event_name(event) if call == "track" else call
    if call == "alias":
        flat["previous_id"] = previous_id
    email = traits.get("email") if call == "identify" else None
    flat["email"] = _mail_address(email, flat.pop("context_traits_email"))
    user_id = as_text_id(flat["user_id"])
    if flat["anonymous_id"] in (None, "") and user_id is not None:
        # Servers know accounts only: one visitor per account, and no cookie's.
        flat["anonymous_id"] = f"account:{user_id}"
    user_agent = flat.pop("context_user_agent")
    if isinstance(user_agent, str) and user_agent:
        sender = judge_sender(user_agent)
        flat["sender_device_class"] = sender.device_class
        flat["bot_reason"] = sender.bot_reason
    if call in ("page", "screen"):
        _take_page(flat, properties, named, call)
    elif call == "track":
        if not is_payload and not properties:
            flat["table_name"] = "tracks"
        fault = _take_track(flat, properties)
        if fault is not None:
            return fault
    if call in ("page", "screen", "track"):
        flat["properties_others"] = _without_persons(properties)
    ids = (flat["anonymous_id"], user_id, as_text_id(previous_id))
    flat = {name: value for name, value in flat.items() if value not in (None, "")}
    own = [one for one in ids if isinstance(one, str)]
    return without_ids(flat, own, _TEXTS, _ADDRESSES)


def _object(value: Any) -> Fields:
    return value if isinstance(value, dict) else {}


def _call_of_payload(fields: Fields) -> str | None:
    call = fields.get("type") or ("track" if "event" in fields else None)
    return call if isinstance(call, str) and call in _CALLS else None


def _call_of_row(fields: Fields) -> str | None:
    # An event's table may have a property called `type`.
    if fields.get("event") or fields.get("event_text"):
        return "track"
    said = fields.get("type")
    if isinstance(said, str) and said in _CALLS:
        return said
    table = _TABLE.search(str(fields.get(FILE_NAME, "")).lower())
    if table is not None:
        return CALL_OF_TABLE[table[1]]
    if fields.get("previous_id"):
        return "alias"
    return "page" if fields.get("path") and fields.get("url") else None


def _context_of_payload(context: Fields) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, path in _CONTEXT.items():
        value: Any = context
        for step in path:
            value = _object(value).get(step)
        flat[name] = value
    preferences = _object(_object(context.get("consent")).get("categoryPreferences"))
    flat[_CONSENT] = _consent(preferences.items())
    return flat


def _context_of_row(fields: Fields) -> dict[str, Any]:
    flat = {name: fields.get(name) for name in _CONTEXT}
    flat[_CONSENT] = _consent(
        (name.removeprefix(f"{_CONSENT}_"), value)
        for name, value in fields.items()
        if name.startswith(f"{_CONSENT}_")
    )
    return flat


def _consent(preferences: Iterable[tuple[str, Any]]) -> dict[str, bool]:
    """Categories in lower case, and whether they were agreed to."""
    flags = {True: True, False: False, "true": True, "false": False}
    return {
        category.lower(): flags[value]
        for category, value in preferences
        if isinstance(value, bool | str) and value in flags
    }


def _properties_of_row(fields: Fields, call: str | None) -> dict[str, Any]:
    """Columns of a table that are properties; those of a call with traits are none."""
    if call not in ("track", "page", "screen"):
        return {}
    return {
        name: value
        for name, value in fields.items()
        if name not in _NO_PROPERTIES
        and not name.startswith("context_")
        and not (name == "type" and value == call)
    }


def _event_name(event: Any) -> str | None:
    """The name of a track call; none where nobody could be told it."""
    if not isinstance(event, str) or find_identifier(event) is not None:
        return None
    return event if _LETTER_OR_DIGIT.search(event) else None


def _mail_address(*candidates: Any) -> str | None:
    for email in candidates:
        # One contact of all who gave "unknown" would make them one person.
        if isinstance(email, str) and find_identifier(email) is IdentifierKind.EMAIL:
            return email
    return None


def _take_page(
    flat: dict[str, Any], properties: dict[str, Any], named: Fields, call: str
) -> None:
    # A screen has a name alone: its other properties are the app's own.
    for name in _PAGE_PROPERTIES if call == "page" else ("name",):
        own = properties.pop(name, None)
        flat[f"properties_{name}"] = named.get(name) or own
    if call == "page":
        for name in _LEFT_OF_PAGES:
            properties.pop(name, None)


def _take_track(flat: dict[str, Any], properties: dict[str, Any]) -> Rejection | None:
    for name in _TRACK_PROPERTIES:
        if properties.get(name) is not None:
            flat[f"properties_{name}"] = properties.pop(name)
    for name in _AMOUNTS:
        # They stay: only of a purchase are they revenue.
        flat[f"properties_{name}"] = properties.get(name)
    products = properties.get("products")
    if isinstance(products, str):
        try:
            products = orjson.loads(products)
        except orjson.JSONDecodeError:
            return Rejection(_PRODUCTS, "must be a list in JSON; got text that is none")
    if isinstance(products, list):
        del properties["products"]
    elif any(properties.get(name) is not None for name in ("product_id", "sku")):
        # `url` and `title` of a track call are the product's or the video's, and stay.
        product = {name: properties.pop(name, None) for name in _ITEM_PROPERTIES}
        properties.pop("name", None)
        products = [product]
    else:
        return None
    if len(products) > _MOST_PRODUCTS:
        return Rejection(_PRODUCTS, f"has more than {_MOST_PRODUCTS} lines")
    lines = []
    for number, product in enumerate(products, start=1):
        try:
            lines.append(_read_line(product))
        except ValueError as problem:
            return Rejection(_PRODUCTS, f"line {number}{problem}")
    flat[_PRODUCTS] = lines
    return None


def _without_persons(value: Any) -> Any:
    """Properties without those whose name says that they tell who it was."""
    if isinstance(value, dict):
        return {
            key: _without_persons(inner)
            for key, inner in value.items()
            if not names_person(str(key))
        }
    if isinstance(value, list):
        return [_without_persons(inner) for inner in value]
    return value

"""Segment's HTTP shape as events of ours, so that existing SDKs only change their host.

Source: Segment's spec of calls and of e-commerce events. Of the traits, which hold names
and addresses, a mail address becomes `contact_id` and all else is left out, as is whatever
the context tells of device and network. What exports of Segment mean is said once more in
dbt's macro `calls_as_events`; a test holds both equal.
"""

import functools
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from nearline.collector.ga4_shape import as_id
from nearline.events.contract import SCHEMA_VERSION, Key, Name
from nearline.events.identifiers import IdentifierKind, find_identifier
from nearline.landing.formats import Rejection

_MESSAGE_KINDS = ("track", "page", "screen", "identify", "alias", "group")
CALLS = (*_MESSAGE_KINDS, "batch")

EVENT_NAMES: Mapping[str, str] = {
    "products_searched": "search",
    "product_list_viewed": "view_item_list",
    "product_list_filtered": "view_item_list",
    "promotion_viewed": "view_promotion",
    "promotion_clicked": "select_promotion",
    "product_clicked": "select_item",
    "product_viewed": "view_item",
    "product_added": "add_to_cart",
    "product_removed": "remove_from_cart",
    "cart_viewed": "view_cart",
    "checkout_started": "begin_checkout",
    "payment_info_entered": "add_payment_info",
    "order_completed": "purchase",
    "order_refunded": "refund",
    "product_added_to_wishlist": "add_to_wishlist",
    "product_shared": "share",
    "experiment_viewed": "exposure",
    "signed_up": "sign_up",
    "signed_in": "login",
    "segment_consent_preference_updated": "consent",
}
"""Segment's names of e-commerce events, in snake case, and GA4's."""

# As consent managers name their categories, OneTrust's numbers among them.
_CONSENT_CATEGORIES: Mapping[str, str] = {
    "analytics": "analytics",
    "performance": "analytics",
    "statistics": "analytics",
    "measurement": "analytics",
    "c0002": "analytics",
    "functional": "personalization",
    "preferences": "personalization",
    "personalization": "personalization",
    "personalisation": "personalization",
    "c0003": "personalization",
    "advertising": "marketing",
    "marketing": "marketing",
    "targeting": "marketing",
    "c0004": "marketing",
}
_DEVICE_CLASSES: Mapping[str, str] = {
    "ios": "mobile",
    "android": "mobile",
    "mobile": "mobile",
    "tablet": "tablet",
    "desktop": "desktop",
    "tv": "tv",
}
# Segment's name of a property -> the name that the door knows.
_PROPERTY_FIELDS: Mapping[str, str] = {
    "currency": "currency",
    "order_id": "order_id",
    "query": "search_term",
    "experiment_id": "experiment_key",
    "variation_id": "variant_key",
}
_PAGE_FIELDS: Mapping[str, str] = {
    "url": "page_url",
    "path": "page_path",
    "title": "page_title",
    "referrer": "referrer",
}
# Addresses once more; the last three are RudderStack's.
_LEFT_OF_PAGES = frozenset(
    {
        *_PAGE_FIELDS,
        "search",
        "name",
        "category",
        "tab_url",
        "initial_referrer",
        "initial_referring_domain",
    }
)
_ITEM_FIELDS = frozenset(
    {"product_id", "sku", "category", "brand", "price", "quantity", "products"}
)
_REVENUE_FIELDS = ("revenue", "total", "value")
_ID = re.compile(get_args(Key)[1].pattern)
_NAME = re.compile(get_args(Name)[1].pattern)
_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class NotTaken:
    """A message that is none of Segment's calls."""

    event_id: Any
    rejection: Rejection


def to_event(
    call: str | None, message: Any, batch: Mapping[str, Any]
) -> Any | NotTaken:
    """One of Segment's messages as an event of ours; the door judges it like any other.

    Args:
        call: what the path says that it is; None in a batch, where the message does.
        batch: what is said once for all messages (`context`).
    """
    if not isinstance(message, dict):
        return message
    kind = call or message.get("type") or ("track" if "event" in message else None)
    if kind not in _MESSAGE_KINDS:
        rejection = Rejection(
            "type", f"must be one of {', '.join(_MESSAGE_KINDS)}; others are not taken"
        )
        return NotTaken(message.get("messageId"), rejection)
    shared = batch.get("context")
    own = message.get("context")
    context = {**_object(shared), **_object(own)}
    properties = dict(_object(message.get("properties")))
    event: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "event_id": _as_key(message.get("messageId")),
        **_persons(message),
        "contact_id": _contact(kind, message, context),
        **_times(message),
        **_consent(context),
        "user_agent": context.get("userAgent"),
    }
    device = _object(context.get("device")).get("type")
    if isinstance(device, str):
        event["device_class"] = _DEVICE_CLASSES.get(device.lower())
    for name in ("source", "medium", "term", "content"):
        event[f"utm_{name}"] = _object(context.get("campaign")).get(name)
    event["utm_campaign"] = _object(context.get("campaign")).get("name")
    _add_page(event, _object(context.get("page")))
    if kind == "track":
        _add_track(event, message.get("event"), properties)
    elif kind == "page":
        _add_page_call(event, message, properties)
    elif kind == "screen":
        _add_screen_call(event, message, properties)
    elif kind == "alias":
        event["event_name"] = "alias"
        # Segment does not say whether it is a cookie's id or an account.
        previous_id = as_id(message.get("previousId")) or None
        event["previous_visitor_id"] = event["previous_user_id"] = previous_id
    elif kind == "identify":
        # Traits of somebody without an account are no login.
        is_login = event["user_id"] is not None
        event["event_name"] = "identify" if is_login else "anonymous_identify"
    else:
        event["event_name"] = "group"
    return {name: value for name, value in event.items() if value is not None}


def event_name(name: str) -> str:
    """GA4's name where Segment has one for it, else the name in snake case; a name that
    is an identifier is left for the contract to refuse."""
    name = snake_name(name)
    return EVENT_NAMES.get(name, name)


def snake_name(name: str) -> str:
    """`Course Clicked` and `courseClicked` as `course_clicked`, at most 64 characters."""
    return _snake_name(name)


@functools.lru_cache(maxsize=10_000)
def _snake_name(name: str) -> str:
    if find_identifier(name):
        # In snake case nobody would see any more what it is.
        return name
    words = _NOT_A_WORD.sub("_", _CAMEL.sub("_", name).lower()).strip("_")
    if words and not words[0].isalpha():
        words = f"event_{words}"
    return words[:64].rstrip("_")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def hashed_id(text: str) -> str:
    """An id of a form that the contract has not, as one that it has."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _as_key(value: Any) -> Any:
    """An id as Segment's senders have it; one of another form than the contract's by
    its hash, the same every time."""
    if isinstance(value, str) and value and not _ID.fullmatch(value):
        return hashed_id(value)
    return value or None


def _persons(message: Mapping[str, Any]) -> dict[str, Any]:
    visitor_id = as_id(message.get("anonymousId"))
    user_id = as_id(message.get("userId"))
    if visitor_id in (None, "") and isinstance(user_id, str) and user_id:
        # Servers know accounts only: one visitor per account, and no cookie's.
        visitor_id = f"account:{user_id}"
    return {"visitor_id": visitor_id or None, "user_id": user_id or None}


def _contact(
    kind: str, message: Mapping[str, Any], context: Mapping[str, Any]
) -> str | None:
    """The mail address of who calls; a group's is the organisation's."""
    own = message.get("traits") if kind == "identify" else None
    for traits in (own, context.get("traits")):
        email = _object(traits).get("email")
        if isinstance(email, str) and find_identifier(email) is IdentifierKind.EMAIL:
            return email
    return None


def _times(message: Mapping[str, Any]) -> dict[str, Any]:
    occurred_at = message.get("originalTimestamp") or message.get("timestamp")
    sent_at = message.get("sentAt")
    return {"occurred_at": occurred_at or sent_at, "sent_at": sent_at}


def _consent(context: Mapping[str, Any]) -> dict[str, bool]:
    preferences = _object(context.get("consent")).get("categoryPreferences")
    consent: dict[str, bool] = {}
    for category, given in _object(preferences).items():
        purpose = _CONSENT_CATEGORIES.get(category.lower())
        if purpose is not None and isinstance(given, bool):
            # Where two categories mean one purpose, both must be given.
            name = f"consent_{purpose}"
            consent[name] = given and consent.get(name, True)
    return consent


def _add_page(event: dict[str, Any], page: Mapping[str, Any]) -> None:
    for name, ours in _PAGE_FIELDS.items():
        if page.get(name):
            event[ours] = page[name]
    if "page_url" in event:
        # The address says more, and its path is the same.
        event.pop("page_path", None)


def _add_page_call(
    event: dict[str, Any], message: Mapping[str, Any], properties: dict[str, Any]
) -> None:
    event["event_name"] = "page_view"
    _add_page(event, properties)
    name = message.get("name") or properties.get("name")
    event.setdefault("page_title", name)
    category = message.get("category") or properties.get("category")
    if isinstance(category, str):
        page_type = snake_name(category)
        event["page_type"] = page_type if _NAME.fullmatch(page_type) else None
    _add_properties(event, properties, _LEFT_OF_PAGES)


def _add_screen_call(
    event: dict[str, Any], message: Mapping[str, Any], properties: dict[str, Any]
) -> None:
    event["event_name"] = "page_view"
    name = message.get("name") or properties.get("name")
    if isinstance(name, str) and name:
        # Screens have no address: the name is one.
        event["page_title"] = name
        event["page_path"] = f"/{snake_name(name)}"
        event.pop("page_url", None)
    _add_properties(event, properties, frozenset({"name"}))


def _add_track(event: dict[str, Any], name: Any, properties: dict[str, Any]) -> None:
    event["event_name"] = event_name(name) if isinstance(name, str) else name
    # `url` and `title` of a track call are the product's or the video's.
    left: set[str] = set()
    for theirs, ours in _PROPERTY_FIELDS.items():
        if properties.get(theirs) is not None:
            event[ours] = as_id(properties[theirs])
            left.add(theirs)
    if event["event_name"] == "purchase":
        # Revenue is without shipping and tax, and is what Segment asks for.
        for theirs in _REVENUE_FIELDS:
            if properties.get(theirs) is not None:
                event["value"] = properties[theirs]
                # What Segment takes an amount to be in that names no currency.
                event.setdefault("currency", "USD")
                left.add(theirs)
                break
    products = properties.get("products")
    if isinstance(products, list):
        event["items"] = [_item(product) for product in products]
        left.add("products")
    elif properties.get("product_id") is not None or properties.get("sku") is not None:
        event["items"] = [_item(properties)]
        left |= _ITEM_FIELDS | {"name"}
    _add_properties(event, properties, left)


def _item(product: Any) -> Any:
    if not isinstance(product, dict):
        return product
    return {
        "item_id": _as_key(product.get("product_id") or product.get("sku")),
        "item_category": product.get("category") or None,
        "item_brand": product.get("brand") or None,
        "price": product.get("price"),
        "quantity": product.get("quantity"),
    }


def _add_properties(
    event: dict[str, Any],
    properties: Mapping[str, Any],
    left: set[str] | frozenset[str],
) -> None:
    kept = {name: value for name, value in properties.items() if name not in left}
    if kept:
        event["properties"] = kept

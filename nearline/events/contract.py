"""The canonical, versioned event. One definition: JSON Schema and checks come from it.

Names follow the GA4 e-commerce vocabulary. Versions are `major.minor`: a minor version
adds optional fields, a major one changes meaning and needs an upgrader (`upgrading`).
An event of a later minor version than ours is accepted without the fields that we do not
know yet; from a version that we do know, an unknown field is a mistake and is refused.
Readers are therefore upgraded before senders: what was left out is not kept anywhere.

Identifiers in here are pseudonyms already; nothing in this module hashes anything.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

SCHEMA_VERSION = "1.2"
SUPPORTED_MAJOR = 1

# A client clock may run ahead of ours by this much before the event is refused.
MAX_CLOCK_LEAD_SECONDS = 300

# Beyond a century it is no clock: the bound keeps the arithmetic of times finite.
MAX_SKEW = 100.0 * 366 * 86_400

# A broken clock or a wrong unit gives times like 1970 or 56000, which would stretch
# every window and calendar that is built on events.
FIRST_YEAR, LAST_YEAR = 2000, 2099

# Deep enough for anything that a sender means; code that walks JSON can rely on it.
MAX_PROPERTIES_DEPTH = 16

KNOWN_EVENT_NAMES = frozenset(
    {
        "page_view",
        "user_engagement",
        "scroll",
        "click",
        "search",
        "view_item_list",
        "select_item",
        "view_item",
        "add_to_cart",
        "remove_from_cart",
        "view_cart",
        "begin_checkout",
        "purchase",
        "content_interaction",
        "identify",
        "alias",
        "consent",
        "exposure",
        "decision",
        "response",
    }
)
"""Names with a meaning of their own; any other well-formed name is a custom event."""


def _known_major(version: str) -> str:
    major, _ = _parts(version)
    if major != SUPPORTED_MAJOR:
        raise ValueError(
            f"major version {major} is not supported; send {SUPPORTED_MAJOR}.x"
        )
    return version


def _parts(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor)


def major_version(version: object) -> int | None:
    """Major part of a `schema_version`; None where it is not written as one."""
    if isinstance(version, str) and re.fullmatch(_VERSION_PATTERN, version, re.ASCII):
        return _parts(version)[0]
    return None


def _is_later_minor(version: object) -> bool:
    if version == SCHEMA_VERSION or major_version(version) != SUPPORTED_MAJOR:
        return False
    return _parts(str(version)) > _parts(SCHEMA_VERSION)


def _written_out(moment: object) -> object:
    # A bare number would be read as seconds or milliseconds, whichever looks likelier.
    is_written_out = isinstance(moment, str) and moment[4:5] == "-"
    if not (is_written_out or isinstance(moment, datetime)):
        raise ValueError(
            "must be an ISO 8601 time with its zone, such as 2026-03-02T12:00:00Z"
        )
    return moment


def _utc_milliseconds(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"must lie in the years {FIRST_YEAR} to {LAST_YEAR}")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    if moment.microsecond % 1000:
        moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    return moment


def _shallow(properties: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [properties]
    for _ in range(MAX_PROPERTIES_DEPTH):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return properties
    raise ValueError(f"is nested more than {MAX_PROPERTIES_DEPTH} levels deep")


def _path_only(path: str) -> str:
    if "?" in path or "#" in path:
        raise ValueError("must be a path without query or fragment")
    return path


_VERSION_PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}$"


def _text(pattern: str) -> Any:
    return StringConstraints(pattern=pattern)


Pseudonym = Annotated[
    str,
    StringConstraints(
        min_length=8, max_length=64, pattern=r"^[0-9_-]*[A-Za-z][A-Za-z0-9_-]*$"
    ),
]
"""An opaque id of a visitor or a user: never an e-mail address, phone or account id. At
least one letter, since a number alone is most likely somebody's account."""

Key = Annotated[str, _text(r"^[A-Za-z0-9_.:-]{1,64}$")]
Name = Annotated[str, _text(r"^[a-z][a-z0-9_]{0,63}$")]
ShortText = Annotated[str, StringConstraints(max_length=256)]
PagePath = Annotated[str, _text(r"^/[^\s]{0,1023}$"), AfterValidator(_path_only)]
Host = Annotated[str, _text(r"^[a-z0-9.-]{1,253}$")]
Cents = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Currency = Annotated[str, _text(r"^[A-Z]{3}$")]
Moment = Annotated[
    AwareDatetime, BeforeValidator(_written_out), AfterValidator(_utc_milliseconds)
]


class Item(BaseModel):
    """One line of `items`, in GA4's item shape with money in cents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: Key
    item_category: ShortText | None = None
    item_brand: ShortText | None = None
    price_cents: Cents | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1


# Text that people or pages write, in which an identifier is looked for. Ids and names are
# held to their pattern instead, since an opaque id may look like a phone number.
PATH_FIELDS = ("page_path", "link_path")
HOST_FIELDS = ("referrer_host", "link_host")
TEXT_FIELDS = (
    "page_title",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "item_category",
    "item_brand",
    "search_term",
)


def _known_item(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    return {name: item[name] for name in item if name in Item.model_fields}


class Event(BaseModel):
    """One thing that one visitor did at one moment.

    Times are UTC with millisecond precision; money is integer cents beside `currency`;
    rates run from 0 to 1. Null means "not known" or "does not apply" throughout.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Key
    event_name: Name
    schema_version: Annotated[
        str, _text(_VERSION_PATTERN), AfterValidator(_known_major)
    ]
    occurred_at: Moment
    sent_at: Moment | None = None
    received_at: Moment | None = None
    source: Name

    visitor_id: Pseudonym
    user_id: Pseudonym | None = None
    contact_id: Pseudonym | None = None
    """An e-mail address or a CRM's key of a person, as a pseudonym."""
    previous_visitor_id: Pseudonym | None = None
    """On `alias`: who `user_id` was so far, where that was no account."""
    previous_user_id: Pseudonym | None = None
    """On `alias`: who `user_id` was so far, where that was an account."""
    source_session_id: Key | None = None
    page_view_id: Key | None = None

    page_path: PagePath | None = None
    page_title: ShortText | None = None
    page_type: Name | None = None
    referrer_host: Host | None = None
    utm_source: ShortText | None = None
    utm_medium: ShortText | None = None
    utm_campaign: ShortText | None = None
    utm_term: ShortText | None = None
    utm_content: ShortText | None = None

    item_id: Key | None = None
    item_category: ShortText | None = None
    item_brand: ShortText | None = None
    price_cents: Cents | None = None
    currency: Currency | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000, strict=True)] | None = None
    items: Annotated[list[Item], Field(max_length=200)] | None = None
    order_id: Key | None = None
    revenue_cents: Cents | None = None

    link_host: Host | None = None
    """Where a clicked link leads; null for a click on something else."""
    link_path: PagePath | None = None
    element_id: Key | None = None

    content_type: Name | None = None
    content_id: Key | None = None
    search_term: ShortText | None = None
    engaged_seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    scroll_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    device_class: Literal["desktop", "mobile", "tablet", "tv", "other"] | None = None
    bot_reason: Name | None = None
    """Why the door took the sender for a bot; null for a person."""
    clock_skew_seconds: Annotated[float, Field(ge=-MAX_SKEW, le=MAX_SKEW)] | None = None
    """By how much the client's clock ran ahead; `occurred_at` is corrected by it."""
    pseudonym_key_id: Key | None = None
    """Which key made the pseudonyms; null where the sender made them."""

    consent_analytics: bool | None = None
    consent_personalization: bool | None = None
    consent_marketing: bool | None = None
    consent_notice_version: Annotated[str, _text(r"^[A-Za-z0-9_.-]{1,32}$")] | None = (
        None
    )

    experiment_key: Key | None = None
    variant_key: Key | None = None
    properties: Annotated[dict[str, Any], AfterValidator(_shallow)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_later_fields(cls, fields: Any) -> Any:
        if not isinstance(fields, dict) or not _is_later_minor(
            fields.get("schema_version")
        ):
            return fields
        known = {name: fields[name] for name in fields if name in cls.model_fields}
        if isinstance(known.get("items"), list):
            known["items"] = [_known_item(item) for item in known["items"]]
        return known

    @model_validator(mode="after")
    def _facts_agree(self) -> "Event":
        if self.received_at is not None:
            lead = (self.occurred_at - self.received_at).total_seconds()
            if lead > MAX_CLOCK_LEAD_SECONDS:
                raise ValueError(
                    "occurred_at is more than "
                    f"{MAX_CLOCK_LEAD_SECONDS} s after received_at; correct the clock"
                )
        if self.event_name == "exposure" and not (
            self.experiment_key and self.variant_key
        ):
            missing = "variant_key" if self.experiment_key else "experiment_key"
            raise ValueError(f"{missing} is missing; every exposure needs it")
        if (
            self.event_name == "identify"
            and self.user_id is None
            and self.contact_id is None
        ):
            raise ValueError(
                "user_id is missing; every identify needs it or contact_id"
            )
        if self.event_name == "alias":
            if self.user_id is None:
                raise ValueError("user_id is missing; every alias needs it")
            if self.previous_visitor_id is None and self.previous_user_id is None:
                raise ValueError(
                    "previous_user_id is missing; an alias needs it or "
                    "previous_visitor_id"
                )
        if self.revenue_cents is not None and self.currency is None:
            raise ValueError("currency is missing; revenue_cents needs it")
        return self


def json_schema() -> dict[str, Any]:
    """The contract as JSON Schema (draft 2020-12), as committed under `schemas/`."""
    schema = Event.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$id"] = f"urn:nearline:event:{SCHEMA_VERSION}"
    schema["title"] = f"Nearline event {SCHEMA_VERSION}"
    return schema


def schema_file_name(version: str = SCHEMA_VERSION) -> str:
    """File name of a version under `schemas/`: 1.0 -> event-1-0.json."""
    return f"event-{re.sub(r'[.]', '-', version)}.json"

"""The canonical, versioned event. One definition: JSON Schema and checks come from it.

Names follow the GA4 e-commerce vocabulary. Versions are `major.minor`: a minor version
adds optional fields, a major one changes meaning and needs an upgrader.

Identifiers in here are pseudonyms already; nothing in this module hashes anything.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

SCHEMA_VERSION = "1.0"
SUPPORTED_MAJOR = 1

# A client clock may run ahead of ours by this much before the event is refused.
MAX_CLOCK_LEAD_SECONDS = 300

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
        "consent",
        "exposure",
        "decision",
        "response",
    }
)
"""Names with a meaning of their own; any other well-formed name is a custom event."""


def _known_major(version: str) -> str:
    major = int(version.split(".", 1)[0])
    if major != SUPPORTED_MAJOR:
        raise ValueError(
            f"major version {major} is not supported; send {SUPPORTED_MAJOR}.x"
        )
    return version


def _utc_milliseconds(moment: datetime) -> datetime:
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _path_only(path: str) -> str:
    if "?" in path or "#" in path:
        raise ValueError("must be a path without query or fragment")
    return path


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
Host = Annotated[str, _text(r"^[a-z0-9.-]{1,253}$")]
Cents = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Currency = Annotated[str, _text(r"^[A-Z]{3}$")]
Moment = Annotated[AwareDatetime, AfterValidator(_utc_milliseconds)]


class Item(BaseModel):
    """One line of `items`, in GA4's item shape with money in cents."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item_id: Key
    item_category: ShortText | None = None
    item_brand: ShortText | None = None
    price_cents: Cents | None = None
    quantity: Annotated[int, Field(ge=1, le=10_000, strict=True)] = 1


class Event(BaseModel):
    """One thing that one visitor did at one moment.

    Times are UTC with millisecond precision; money is integer cents beside `currency`;
    rates run from 0 to 1. Null means "not known" or "does not apply" throughout.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Key
    event_name: Name
    schema_version: Annotated[
        str, _text(r"^[0-9]{1,4}\.[0-9]{1,4}$"), AfterValidator(_known_major)
    ]
    occurred_at: Moment
    sent_at: Moment | None = None
    received_at: Moment | None = None
    source: Name

    visitor_id: Pseudonym
    user_id: Pseudonym | None = None
    source_session_id: Key | None = None
    page_view_id: Key | None = None

    page_path: (
        Annotated[str, _text(r"^/[^\s]{0,1023}$"), AfterValidator(_path_only)] | None
    ) = None
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

    content_type: Name | None = None
    content_id: Key | None = None
    search_term: ShortText | None = None
    engaged_seconds: Annotated[float, Field(ge=0, le=86_400)] | None = None
    scroll_rate: Annotated[float, Field(ge=0, le=1)] | None = None
    device_class: Literal["desktop", "mobile", "tablet", "tv", "other"] | None = None
    bot_reason: Name | None = None
    """Why the door took the sender for a bot; null for a person."""

    consent_analytics: bool | None = None
    consent_personalization: bool | None = None
    consent_marketing: bool | None = None
    consent_notice_version: (
        Annotated[str, _text(r"^[A-Za-z0-9_.-]{1,32}$")] | None
    ) = None

    experiment_key: Key | None = None
    variant_key: Key | None = None
    properties: dict[str, Any] | None = None

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
            raise ValueError("exposure needs experiment_key and variant_key")
        if self.event_name == "identify" and self.user_id is None:
            raise ValueError("identify needs user_id")
        if self.revenue_cents is not None and self.currency is None:
            raise ValueError("revenue_cents needs currency")
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

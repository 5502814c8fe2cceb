"""The REES46 shop logs: `event_time, event_type, product_id, …, user_id, user_session`.

`user_id` is the shop's permanent visitor number and looks like a phone number, so it is
keyed-hashed; the source knows neither arrival times nor consent nor dwell.
"""

import functools
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from nearline.events.contract import FIRST_YEAR, LAST_YEAR
from nearline.events.identifiers import find_identifier
from nearline.landing.formats import (
    MASK,
    PROVENANCE,
    Rejection,
    masked_record,
    type_name,
)
from nearline.landing.nearline_format import content_hash
from nearline.privacy.pseudonyms import Pseudonymizer

EVENT_TYPES = ("view", "cart", "remove_from_cart", "purchase")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_PSEUDONYM = re.compile(r"v_[A-Za-z0-9_-]{22}")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", re.ASCII)
_MAX_TEXT_LENGTH = 256
_MAX_PRICE = Decimal(10**9)

_find_identifier = functools.lru_cache(maxsize=10_000)(find_identifier)


_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("event_id", pa.string(), nullable=False),
    pa.field("event_time", pa.timestamp("us"), nullable=False),
    pa.field("event_type", pa.string(), nullable=False),
    pa.field("product_id", pa.string(), nullable=False),
    pa.field("category_id", pa.string()),
    pa.field("category_code", pa.string()),
    pa.field("brand", pa.string()),
    pa.field("price_cents", pa.int64()),
    pa.field("visitor_id", pa.string(), nullable=False),
    pa.field("user_session", pa.string()),
)


class Rees46Format:
    """Reads the REES46 open data sets (CSV or Parquet)."""

    name = "rees46"
    allows_other_columns = False
    files: tuple[str, ...] = ()
    text = None
    mapping = None
    known_columns = frozenset(
        {
            "event_time",
            "event_type",
            "product_id",
            "category_id",
            "category_code",
            "brand",
            "price",
            "user_id",
            "user_session",
        }
    )
    required_columns = frozenset(
        {"event_time", "event_type", "product_id", "price", "user_id", "user_session"}
    )
    personal_columns = frozenset({"user_id"})
    schema = pa.schema([*_FIELDS, *PROVENANCE])

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        return self._row(fields, pseudonymizer, None)

    def from_dead_letter(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        fields = dict(fields)
        kept = fields.pop("visitor_id", None)
        is_kept = isinstance(kept, str) and _PSEUDONYM.fullmatch(kept)
        if "user_id" not in fields and not is_kept:
            return Rejection("user_id", "is missing; every event needs it")
        event_time = fields.get("event_time")
        if isinstance(event_time, str) and "T" in event_time:
            # Times of a Parquet file are kept in ISO 8601.
            with suppress(ValueError):
                fields["event_time"] = datetime.fromisoformat(event_time)
        # A number that somebody put in as the fix is what comes in by the door.
        return self._row(
            fields, pseudonymizer, None if "user_id" in fields else str(kept)
        )

    def kept_of(
        self,
        fields: Mapping[str, Any],
        rejection: Rejection,
        pseudonymizer: Pseudonymizer,
    ) -> dict[str, Any]:
        kept = masked_record(
            fields, rejection, self.known_columns, self.personal_columns
        )
        user_id = _id(fields.get("user_id"))
        if user_id is not None:
            # Hashed as it would have been at the door; a hash is not hashed again.
            return kept | {"visitor_id": pseudonymizer.visitor(self.name, user_id)}
        return kept | {"user_id": MASK} if "user_id" in fields else kept

    def source_of(self, fields: Mapping[str, Any]) -> str | None:
        return self.name

    def version_of(self, fields: Mapping[str, Any]) -> str | None:
        return None

    def _row(
        self,
        fields: dict[str, Any],
        pseudonymizer: Pseudonymizer,
        visitor_id: str | None,
    ) -> dict[str, Any] | Rejection:
        event_type = fields.get("event_type")
        if event_type not in EVENT_TYPES:
            return Rejection("event_type", f"must be one of {', '.join(EVENT_TYPES)}")

        def refuse(field: str, reason: str) -> Rejection:
            found = type_name(fields.get(field))
            return Rejection(field, f"{reason}; got {found}", event_type)

        event_time = _moment(fields.get("event_time"))
        if event_time is None:
            return refuse("event_time", "must be a time like 2019-10-01 00:00:00 UTC")
        row: dict[str, Any] = {"event_time": event_time, "event_type": event_type}
        for name in ("product_id", "category_id", "user_session"):
            value = fields.get(name)
            if value is None and name != "product_id":
                row[name] = None
            elif (text := _id(value)) is None:
                return refuse(name, "must be 1 to 64 letters, digits or _ . : -")
            else:
                row[name] = text
        if visitor_id is None:
            user_id = _id(fields.get("user_id"))
            if user_id is None:
                return refuse("user_id", "must be 1 to 64 letters, digits or _ . : -")
            visitor_id = pseudonymizer.visitor(self.name, user_id)
        for name in ("category_code", "brand"):
            value = fields.get(name)
            is_text = value is None or isinstance(value, str)
            if not is_text or len(value or "") > _MAX_TEXT_LENGTH:
                return refuse(
                    name, f"must be text of at most {_MAX_TEXT_LENGTH} characters"
                )
            text = value
            if text is not None and (kind := _find_identifier(text)):
                return Rejection(
                    name,
                    f"holds a direct identifier ({kind}); leave it out",
                    event_type,
                )
            row[name] = text
        try:
            row["price_cents"] = _cents(fields.get("price"))
        except ValueError:
            return refuse("price", f"must be a price from 0 to {_MAX_PRICE:,}")
        row["visitor_id"] = visitor_id
        # Over the pseudonym: a hash over the number itself could be undone by trying.
        row["event_id"] = content_hash(row)
        return row


def _moment(value: object) -> datetime | None:
    """UTC without zone, as raw Parquet keeps it; None where it is no such time."""
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(UTC)
    elif isinstance(value, str) and (written := _TIME.fullmatch(value)):
        try:
            moment = datetime.fromisoformat(written[1])
        except ValueError:
            return None
    else:
        return None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        return None
    return moment.replace(tzinfo=None)


def _id(value: object) -> str | None:
    """An id as text; None where it is none.

    A Parquet column of integers with gaps may have become one of numbers: 7.0 is 7, so
    that a visitor gets the same pseudonym from every kind of file.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if _ID.fullmatch(text) else None


def _cents(value: object) -> int | None:
    """A price in cents, half a cent up; null where there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError
    try:
        price = Decimal(str(value))
    except InvalidOperation as problem:
        raise ValueError from problem
    if not (price.is_finite() and 0 <= price <= _MAX_PRICE):
        raise ValueError
    return int((price * 100).to_integral_value(ROUND_HALF_UP))

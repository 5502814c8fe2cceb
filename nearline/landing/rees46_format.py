"""The REES46 shop logs: `event_time, event_type, product_id, …, user_id, user_session`.

`user_id` is the shop's permanent visitor number and looks like a phone number, so it is
keyed-hashed; the source knows neither arrival times nor consent nor dwell.
"""

import re
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from nearline.events.identifiers import find_identifier
from nearline.landing.formats import PROVENANCE, Rejection, type_name
from nearline.landing.nearline_format import content_hash
from nearline.privacy.pseudonyms import Pseudonymizer

EVENT_TYPES = ("view", "cart", "remove_from_cart", "purchase")
_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,64}$")
_TIME_FORMAT = "%Y-%m-%d %H:%M:%S UTC"
_MAX_PRICE = Decimal(10**9)


class Rees46Format:
    """Reads the REES46 open data sets (CSV or Parquet)."""

    name = "rees46"
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
    schema = pa.schema(
        [
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
            *PROVENANCE,
        ]
    )

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        event_type = str(fields.get("event_type", ""))
        if event_type not in EVENT_TYPES:
            return Rejection("event_type", f"must be one of {', '.join(EVENT_TYPES)}")

        def refuse(field: str, reason: str) -> Rejection:
            found = type_name(fields.get(field))
            return Rejection(field, f"{reason}; got {found}", event_type)

        event_time = _moment(fields.get("event_time"))
        if event_time is None:
            return refuse("event_time", "must be a time like 2019-10-01 00:00:00 UTC")
        user_id = fields.get("user_id")
        if user_id is None:
            return refuse("user_id", "is missing; every event needs it")
        row: dict[str, Any] = {"event_time": event_time, "event_type": event_type}
        for name in ("product_id", "category_id", "user_session"):
            value = fields.get(name)
            if value is None and name != "product_id":
                row[name] = None
            elif value is None or not _ID.match(str(value)):
                return refuse(name, "must be 1 to 64 letters, digits or _ . : -")
            else:
                row[name] = str(value)
        for name in ("category_code", "brand"):
            text = fields.get(name)
            if text is not None and (kind := find_identifier(str(text))):
                return Rejection(
                    name, f"holds a direct identifier ({kind}); leave it out", event_type
                )
            row[name] = None if text is None else str(text)
        try:
            row["price_cents"] = _cents(fields.get("price"))
        except ValueError:
            return refuse("price", "must be a price from 0 with up to 2 decimals")
        row["visitor_id"] = pseudonymizer.visitor(self.name, str(user_id))
        # Over the pseudonym: a hash over the number itself could be undone by trying.
        row["event_id"] = content_hash(row)
        return row


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    try:
        return datetime.strptime(str(value), _TIME_FORMAT)
    except ValueError:
        return None


def _cents(value: object) -> int | None:
    if value is None:
        return None
    try:
        price = Decimal(str(value))
    except InvalidOperation as problem:
        raise ValueError from problem
    if not (0 <= price <= _MAX_PRICE):
        raise ValueError
    return int((price * 100).to_integral_value())

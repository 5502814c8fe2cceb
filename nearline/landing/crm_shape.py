"""Rows of a CRM's export as flat records under names of our own.

A row is a contact or (a line of) an order; which, and what its columns are, is said by a
`Reading`. Names, addresses and phone numbers pass in no case. Who a row is of is written
as the CRM knows it, to be hashed at the door:

- `visitor`: `contact:<record id>`, else `email:<address>`, `account:<account>`; an order
  that names nobody, or several, is of `order:<order id>`. No cookie's, so that CRM and
  web are joined by what both know: the mail address and the account.
- `contact_key`: stands for a contact of whom nothing but the record is known.

Not here: what it means, which is SQL.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from nearline.collector.screening import SHORTEST_ACCOUNT_ID, mask_account_ids
from nearline.landing.crm_mapping import (
    CONTACTS,
    Reading,
    choose_reading,
    find_ready_made,
    header_key,
    reading_of,
)
from nearline.landing.declarations import Column
from nearline.landing.declared_format import Shape
from nearline.landing.formats import Rejection
from nearline.landing.records import column_names, read_records
from nearline.landing.treatments import Treat, as_text_id, make_treatment

Fields = Mapping[str, Any]

_MOMENTS = ("modified_at", "created_at", "ordered_at")
_AMOUNTS = ("amount", "price", "quantity")
_KEPT_AS_THEY_ARE = (
    *_MOMENTS,
    *_AMOUNTS,
    "email",
    "user_id",
    "status",
    "is_sold",
    "currency",
    "item_id",
    "item_category",
    "item_brand",
    "consent_analytics",
    "consent_personalization",
    "consent_marketing",
)
# A record of Salesforce has an id of 15 characters; three more, which follow from them,
# are there where case may be lost.
_SALESFORCE_ID, _SALESFORCE_ID_WITH_CHECK = 15, 18
_NO_ADDRESS = frozenset({"-", "n/a", "na", "none", "null", "unknown"})
# What joins the ids of several records in one column.
_BETWEEN_IDS = ";"


def _no_pseudonym(kind: str, identifier: str) -> str:
    raise AssertionError("nothing that is treated here is a pseudonym")


def _treatment(name: str, kind: pa.DataType, way: str, **options: Any) -> Treat:
    column = Column(name, kind, (name,), way, options=options)
    return make_treatment(column, str, _no_pseudonym)


_FLAG = _treatment("flag", pa.bool_(), "boolean")
_MIDNIGHT_IN_UTC = _treatment("day", pa.timestamp("us"), "moment")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class RecordShape:
    """Makes the records of one file flat."""

    reading: Reading
    _moment: Treat = field(init=False)

    def __post_init__(self) -> None:
        moment = _treatment(
            "moment", pa.timestamp("us"), "moment", zone=self.reading.zone
        )
        object.__setattr__(self, "_moment", moment)

    def __call__(self, fields: dict[str, Any]) -> dict[str, Any] | Rejection:
        given = {
            header_key(name): value
            for name, value in fields.items()
            if not _is_blank(value)
        }
        row = {
            name: value
            for name, headers in self.reading.columns.items()
            if (value := _first(given, headers)) is not None
        }
        if str(row.get("email", "")).strip().lower() in _NO_ADDRESS:
            # One contact of all who have none would make them one person.
            del row["email"]
        flat: dict[str, Any] = {
            name: row[name] for name in _KEPT_AS_THEY_ARE if name in row
        }
        for name in _MOMENTS:
            if name in flat:
                flat[name] = self._in_utc(flat[name])
        if self.reading.decimal_comma:
            for name in _AMOUNTS:
                if isinstance(flat.get(name), str):
                    flat[name] = flat[name].replace(".", "").replace(",", ".")
        person = self._person(row)
        if self.reading.rows == CONTACTS:
            if person is None:
                return Rejection(
                    "record_id", "is missing; a contact needs it, email or user_id"
                )
            flat |= self._contact(flat, row, person)
        else:
            flat |= self._order(flat, row, person)
        properties = {
            name: _FLAGS.get(value.lower(), value) if isinstance(value, str) else value
            for name, headers in self.reading.properties.items()
            if (value := _first(given, headers)) is not None
        }
        if properties:
            flat["properties"] = _without_ids(properties, row)
        return flat

    def _contact(self, flat: Fields, row: Fields, person: str) -> dict[str, Any]:
        contact = {"kind": "contact", "visitor": person}
        if "modified_at" not in flat and "created_at" in flat:
            contact["modified_at"] = flat["created_at"]
        if "email" not in row and "user_id" not in row:
            contact["contact_key"] = person
        return contact

    def _order(self, flat: Fields, row: Fields, person: str | None) -> dict[str, Any]:
        order: dict[str, Any] = {"kind": "order"}
        number = as_text_id(row.get("order_id"))
        if number is not None:
            # Shops write #1001 where their pages track 1001.
            number = self.reading.order_prefix + self._record_id(number.lstrip("#"))
            order["order_id"] = number
            order["visitor"] = person or f"order:{number}"
        if person is not None and person.startswith("contact:"):
            # The CRM says whose it is; a mail address beside it may be somebody else's.
            order["email"] = None
        if self.reading.currency is not None and "currency" not in flat:
            order["currency"] = self.reading.currency
        is_sold = self._is_sold(row)
        if is_sold is not None:
            order["is_sold"] = is_sold
        return order

    def _is_sold(self, row: Fields) -> bool | None:
        """Whether something was bought; None where the row's own word stands."""
        if _as_flag(row.get("is_deleted")):
            return False
        if "is_sold" in row or self.reading.sold is None:
            return None
        return str(row.get("status", "")).strip().lower() in self.reading.sold

    def _person(self, row: Fields) -> str | None:
        """Who the row is of, as the CRM knows it."""
        of_contact = self.reading.rows == CONTACTS
        record = as_text_id(row.get("record_id" if of_contact else "contact_record_id"))
        if record is not None and not of_contact:
            records = {one.strip() for one in record.split(_BETWEEN_IDS)} - {""}
            # Of several nobody can say who bought.
            record = records.pop() if len(records) == 1 else None
        if record is not None:
            return f"contact:{self._record_id(record)}"
        email, account = as_text_id(row.get("email")), as_text_id(row.get("user_id"))
        if email is not None:
            return f"email:{email.lower()}"
        return None if account is None else f"account:{account}"

    def _record_id(self, text: str) -> str:
        is_checked = (
            self.reading.salesforce_ids
            and len(text) == _SALESFORCE_ID_WITH_CHECK
            and text.isalnum()
        )
        return text[:_SALESFORCE_ID] if is_checked else text

    def _in_utc(self, value: Any) -> Any:
        """A time in UTC; as it was where it cannot be read, to be refused for it."""
        written, time_format = value, self.reading.time_format
        is_day = isinstance(value, str) and _DAY.fullmatch(value.strip()) is not None
        if time_format is not None and isinstance(value, str) and not is_day:
            try:
                written = datetime.strptime(value.strip(), time_format)
            except ValueError:
                written = value
            else:
                is_day = "%H" not in time_format and "%I" not in time_format
        try:
            # A day is the same day everywhere.
            return (_MIDNIGHT_IN_UTC if is_day else self._moment)(written)
        except ValueError:
            return value


def flat_record(fields: dict[str, Any]) -> dict[str, Any] | Rejection:
    """A record told by its own names, of a file without a header and without a mapping."""
    ready_made = find_ready_made(frozenset(map(header_key, fields)))
    if ready_made is None:
        return Rejection("(row)", "has the columns of no export that is known")
    return RecordShape(reading_of(ready_made))(fields)


def shape_of_file(path: Path, mapping: Path | None) -> Shape:
    """How the records of one file are made flat.

    Args:
        mapping: what says what the file's columns are, where it lies beside it.

    Raises:
        InputError: nobody says what the columns are, or a needed one is missing.
    """
    header = column_names(path)
    if header is None:
        if mapping is None:
            return flat_record
        header = list(
            {
                name
                for record in islice(read_records(path), _RECORDS_LOOKED_AT)
                for name in record.fields
            }
        )
    return RecordShape(choose_reading(path.name, header, mapping))


# JSON leaves out what has no value, so that one record does not show all names.
_RECORDS_LOOKED_AT = 1_000


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _first(given: Fields, headers: tuple[str, ...]) -> Any:
    return next((given[header] for header in headers if header in given), None)


def _as_flag(value: Any) -> bool:
    try:
        return bool(_FLAG(value))
    except ValueError:
        return False


def _without_ids(properties: dict[str, Any], row: Fields) -> dict[str, Any]:
    """Properties without the row's own ids: a hash could be read beside what it hides."""
    ids = [
        one
        for name in ("record_id", "contact_record_id", "email", "user_id")
        if (one := as_text_id(row.get(name))) and len(one) >= SHORTEST_ACCOUNT_ID
    ]
    written = orjson.dumps(properties, default=str).decode()
    if any(orjson.dumps(one).decode()[1:-1] in written for one in ids):
        properties = mask_account_ids(properties, ids)
    return properties

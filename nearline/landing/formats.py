"""The formats that `ingest` knows: which columns a file needs and what becomes raw.

A format takes a record to a raw row or a rejection. Raw rows keep the source's own
columns; identifiers are pseudonymized here, at the door, and nowhere later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from nearline.events.contract import MAX_PROPERTIES_DEPTH
from nearline.events.identifiers import find_identifier
from nearline.privacy.pseudonyms import Pseudonymizer

MASK = "***"

PROVENANCE: tuple["pa.Field[Any]", ...] = (
    pa.field("source_file", pa.string(), nullable=False),
    pa.field("source_row", pa.int64(), nullable=False),
)
"""Columns of every raw table beside the source's own; `landing_id` is in the path."""

_REJECT_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("source_format", pa.string(), nullable=False),
    pa.field("event_name", pa.string()),
    pa.field("field", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("row_masked", pa.string()),
)
REJECTS_SCHEMA = pa.schema([*_REJECT_FIELDS, *PROVENANCE])


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row was refused: the field, and a reason that holds no value of it.

    `refused` are all fields at fault, where there are more than the one that is named.
    """

    field: str
    reason: str
    event_name: str | None = None
    refused: frozenset[str] = frozenset()


class Format(Protocol):
    """One kind of source file."""

    name: str
    required_columns: frozenset[str]
    known_columns: frozenset[str]
    personal_columns: frozenset[str]
    """Columns that say who it was: never kept of a refused row."""
    schema: pa.Schema

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        """The raw row of one record (without provenance), or why it is refused."""
        ...


def type_name(value: object) -> str:
    """What a person calls the type of `value` in an error message."""
    names: Mapping[type, str] = {
        str: "text",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        dict: "an object",
        list: "a list",
        type(None): "nothing",
    }
    return names.get(type(value), type(value).__name__)


def is_plain_name(text: str) -> bool:
    """Whether a sender's own column or key may be shown: a name, and not a person's."""
    return text.isascii() and text.isidentifier() and find_identifier(text) is None


def masked_record(
    fields: Mapping[str, Any], rejection: Rejection, format_: Format
) -> dict[str, Any]:
    """A refused record without what is at fault, unknown or tells who it was."""
    hidden = {rejection.field} | rejection.refused | format_.personal_columns
    row = {}
    for name, value in fields.items():
        is_known = name in format_.known_columns
        key = name if is_known or is_plain_name(name) else MASK
        row[key] = MASK if name in hidden or not is_known else _masked(value, 0)
    return row


def _masked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list | tuple) and depth == MAX_PROPERTIES_DEPTH:
        return MASK
    if isinstance(value, dict):
        return {
            MASK if find_identifier(str(key)) else str(key): _masked(inner, depth + 1)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(inner, depth + 1) for inner in value]
    text = value if isinstance(value, str) else str(value)
    return MASK if find_identifier(text) else text

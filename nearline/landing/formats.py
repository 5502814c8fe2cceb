"""The formats that `ingest` knows: which columns a file needs and what becomes raw.

A format takes a record to a raw row or a rejection. Raw rows keep the source's own
columns; identifiers are pseudonymized here, at the door, and nowhere later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from nearline.events.identifiers import find_identifier
from nearline.privacy.pseudonyms import Pseudonymizer

MASK = "***"

PROVENANCE = (
    pa.field("source_file", pa.string(), nullable=False),
    pa.field("source_row", pa.int64(), nullable=False),
)
"""Columns of every raw table beside the source's own; `landing_id` is in the path."""

REJECTS_SCHEMA = pa.schema(
    [
        pa.field("source_format", pa.string(), nullable=False),
        pa.field("event_name", pa.string()),
        pa.field("field", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("row_masked", pa.string()),
        *PROVENANCE,
    ]
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row was refused: the field, and a reason that holds no value of it."""

    field: str
    reason: str
    event_name: str | None = None


class Format(Protocol):
    """One kind of source file."""

    name: str
    required_columns: frozenset[str]
    known_columns: frozenset[str]
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


def masked(value: Any, field: str | None) -> Any:
    """`value` with the refused `field` and everything that identifies a person masked."""
    if isinstance(value, dict):
        return {
            (MASK if find_identifier(str(key)) else str(key)): (
                MASK if key == field else masked(inner, None)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [masked(inner, None) for inner in value]
    if isinstance(value, str):
        return MASK if find_identifier(value) else value
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)

"""The formats that `ingest` knows: which columns a file needs and what becomes raw.

A format takes a record to a raw row or a rejection. Raw rows keep the source's own
columns; identifiers are pseudonymized here, at the door, and nowhere later.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import pyarrow as pa

from nearline.events.contract import MAX_PROPERTIES_DEPTH
from nearline.events.identifiers import find_identifier
from nearline.landing.records import TextLayout
from nearline.privacy.pseudonyms import Pseudonymizer

MASK = "***"

_LONGEST_CACHED = 256
_find_identifier = functools.lru_cache(maxsize=100_000)(find_identifier)

FILE_NAME = "(file)"
"""Under this input a format that knows it finds the name of the record's file."""

PROVENANCE: tuple["pa.Field[Any]", ...] = (
    pa.field("source_file", pa.string(), nullable=False),
    pa.field("source_row", pa.int64(), nullable=False),
)
"""Columns of every raw table beside the source's own; `landing_id` is in the path."""

_REJECT_FIELDS: tuple["pa.Field[Any]", ...] = (
    pa.field("deadletter_id", pa.string()),
    pa.field("received_at", pa.timestamp("us")),
    pa.field("source_format", pa.string(), nullable=False),
    pa.field("source", pa.string()),
    pa.field("schema_version", pa.string()),
    pa.field("event_name", pa.string()),
    pa.field("field", pa.string(), nullable=False),
    pa.field("reason", pa.string(), nullable=False),
    pa.field("row_masked", pa.string()),
)
REJECTS_SCHEMA = pa.schema([*_REJECT_FIELDS, *PROVENANCE])
"""Columns are only ever added: files of earlier versions stay as they were written."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a row was refused: the field, and a reason that holds no value of it.

    `refused` are all fields at fault, where there are more than the one that is named.
    A row of which `is_fault` is false has nothing wrong with it and is no event: it is
    left out, counted by its reason, and nothing of it is kept. `flat` is what a shape
    made of the rest of the record.
    """

    field: str
    reason: str
    event_name: str | None = None
    refused: frozenset[str] = frozenset()
    is_fault: bool = True
    flat: Mapping[str, Any] | None = None


class Format(Protocol):
    """One kind of source file."""

    name: str
    required_columns: frozenset[str]
    known_columns: frozenset[str]
    schema: pa.Schema
    allows_other_columns: bool
    """Whether a file may have columns that are not known; they are not kept."""

    @property
    def files(self) -> tuple[str, ...]:
        """Patterns of the files in a folder that hold rows; none for all."""
        ...

    @property
    def text(self) -> TextLayout | None:
        """How a table of text is written, where it is not CSV."""
        ...

    @property
    def mapping(self) -> str | None:
        """Name of a file beside the data that may say what its columns are."""
        ...

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        """The raw row of one record (without provenance), or why it is refused."""
        ...

    def kept_of(
        self,
        fields: Mapping[str, Any],
        rejection: Rejection,
        pseudonymizer: Pseudonymizer,
    ) -> dict[str, Any]:
        """What is kept of a refused record, so that it can be mended and replayed:
        nothing of what is at fault or unknown, and pseudonyms of who it was.
        """
        ...

    def from_dead_letter(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        """`to_row` of what `kept_of` kept and somebody mended since."""
        ...

    def source_of(self, fields: Mapping[str, Any]) -> str | None:
        """The event's source, where it can be told."""
        ...

    def version_of(self, fields: Mapping[str, Any]) -> str | None:
        """The event's schema version, where it can be told."""
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


def has_identifier(text: str) -> bool:
    """Whether a direct identifier is in `text`; short texts are remembered."""
    if len(text) <= _LONGEST_CACHED:
        return _find_identifier(text) is not None
    return find_identifier(text) is not None


def masked_record(
    fields: Mapping[str, Any],
    rejection: Rejection,
    known_columns: frozenset[str],
    personal_columns: frozenset[str],
) -> dict[str, Any]:
    """A refused record without what is at fault, unknown or tells who it was."""
    refused = frozenset({rejection.field}) | rejection.refused
    row = {}
    for name, value in fields.items():
        if name in personal_columns:
            continue
        is_known = name in known_columns
        key = name if is_known or is_plain_name(name) else MASK
        is_masked = name in refused or not is_known
        row[key] = MASK if is_masked else masked_json(value, _masked_text)
    return row


def masked_json(
    value: Any,
    masked_text: Callable[[Any], str],
    masked_list: Callable[[list[Any]], Any] = list,
    depth: int = 0,
) -> Any:
    """Nested JSON in which keys that are identifiers, and all beyond the depth that the
    contract allows, are masked.

    Args:
        masked_text: what is kept of a text, or of anything else that is no JSON.
        masked_list: what is kept of a list whose parts are masked already.
    """
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list | tuple) and depth == MAX_PROPERTIES_DEPTH:
        return MASK

    def inside(inner: Any) -> Any:
        return masked_json(inner, masked_text, masked_list, depth + 1)

    if isinstance(value, dict):
        return {
            MASK if has_identifier(str(key)) else str(key): inside(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return masked_list([inside(inner) for inner in value])
    return masked_text(value)


def _masked_text(value: Any) -> str:
    if isinstance(value, datetime):
        # Times without a zone come from Parquet and mean UTC.
        zoned = value if value.tzinfo else value.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = value if isinstance(value, str) else str(value)
    return MASK if find_identifier(text) else text

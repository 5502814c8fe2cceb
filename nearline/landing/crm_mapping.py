"""What the columns of a CRM's file are: as `crm.yml` beside it says, or ready-made.

`crm.yml` names files (or patterns of names) and, for each, whether its rows are contacts
or orders and which header holds what. `crm_ready_made.yml` is the same for the exports
of HubSpot and Salesforce, told by their headers. Not here: what becomes of a row
(`crm_shape`).
"""

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from nearline.errors import InputError
from nearline.events.contract import Currency, Name
from nearline.events.personal_keys import names_person
from nearline.landing.formats import MASK, has_identifier

CONTACTS, ORDERS = "contacts", "orders"

_CONSENTS = frozenset(
    {"consent_analytics", "consent_personalization", "consent_marketing"}
)
COLUMNS: Mapping[str, frozenset[str]] = {
    CONTACTS: _CONSENTS
    | {"record_id", "email", "user_id", "modified_at", "created_at"},
    ORDERS: _CONSENTS
    | {"order_id", "contact_record_id", "email", "user_id", "ordered_at"}
    | {"modified_at", "status", "is_sold", "is_deleted", "amount", "currency"}
    | {"item_id", "item_category", "item_brand", "price", "quantity"},
}
"""What a column may be, by kind of rows."""

# Of each group the file has to have one.
_NEEDED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    CONTACTS: (("record_id", "email", "user_id"), ("modified_at", "created_at")),
    ORDERS: (("order_id",), ("ordered_at",)),
}
_READY_MADE = Path(__file__).with_name("crm_ready_made.yml")


@dataclass(frozen=True, slots=True)
class Reading:
    """How one file is read.

    `columns` and `properties` give for each name the headers that may hold it, the
    first with a value counts; headers are in the form of `header_key`. `sold` holds the
    statuses, in lower case, in which something was bought; null where all are.
    """

    rows: str
    columns: Mapping[str, tuple[str, ...]]
    properties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sold: frozenset[str] | None = None
    order_prefix: str = ""
    zone: str = "UTC"
    time_format: str | None = None
    currency: str | None = None
    decimal_comma: bool = False
    salesforce_ids: bool = False


def header_key(header: str) -> str:
    """A header without what its writers vary: case and blanks around and between."""
    return _header_key(header)


@functools.lru_cache(maxsize=10_000)
def _header_key(header: str) -> str:
    return " ".join(header.split()).casefold()


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as problem:
        raise ValueError("is no time zone such as Europe/Berlin") from problem
    return zone


_Headers = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_listed),
    Field(min_length=1),
]


class _Settings(BaseModel):
    """What may be said of one file, or of all of them at once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    zone: Annotated[str, AfterValidator(_known_zone)] | None = None
    time_format: str | None = None
    currency: Currency | None = None
    decimal_comma: bool | None = None


class _FileMapping(_Settings):
    rows: Literal["contacts", "orders"] | None = None
    columns: dict[str, _Headers] = Field(default_factory=dict)
    properties: dict[Name, _Headers] = Field(default_factory=dict)
    sold: tuple[str, ...] | None = None
    order_prefix: (
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,32}$")] | None
    ) = None
    salesforce_ids: bool | None = None


class _ReadyMade(_FileMapping):
    told_by: _Headers


class _Mapping(_Settings):
    files: dict[str, _FileMapping] = Field(default_factory=dict)


def _given_for(name: str, path: Path) -> dict[str, Any]:
    """What a mapping file says of the file called `name`.

    Raises:
        InputError: it is no mapping; the message names the setting at fault.
    """
    try:
        content = _read_texts(path)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise InputError(f"{path.name} is not YAML in UTF-8; mend it") from problem
    try:
        mapping = _Mapping.model_validate(content or {})
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in error["loc"]) or "it"
        reason = error["msg"].removeprefix("Value error, ")
        raise InputError(f"{path.name}, {_shown(place)}: {reason}") from problem
    given = mapping.model_dump(exclude={"files"}, exclude_none=True)
    for pattern, of_file in mapping.files.items():
        if fnmatch(name, pattern):
            return given | of_file.model_dump(exclude_unset=True, exclude_none=True)
    return given


def _read_texts(path: Path) -> Any:
    # Every scalar as text: a header `No` is no boolean, a status `1` no number.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def choose_reading(
    name: str, header: Collection[str], mapping_file: Path | None
) -> Reading:
    """How the file called `name` with these columns is read.

    Args:
        mapping_file: the mapping beside the file, where there is one.

    Raises:
        InputError: nobody says what the columns are, what is said cannot be, or a
            column is missing.
    """
    given = {} if mapping_file is None else _given_for(name, mapping_file)
    keys = frozenset(map(header_key, header))
    place = "" if mapping_file is None else f"{mapping_file.name}, "
    if given.get("columns"):
        if "rows" not in given:
            raise InputError(f"{place}{name}: say `rows: contacts` or `rows: orders`")
        reading = _reading(given)
    else:
        ready_made = find_ready_made(keys)
        if ready_made is None:
            raise InputError(
                f"{name}: its columns are those of no export that is known; say in "
                "crm.yml beside it what they are (docs/sources/crm.md)"
            )
        reading = _reading(ready_made | given, ready_made.get("properties", {}))
    _check(reading, f"{place}{name}", keys, is_own=bool(given.get("columns")))
    return reading


def find_ready_made(keys: frozenset[str]) -> dict[str, Any] | None:
    """The first ready-made mapping whose headers are all among `keys`."""
    for ready_made in _ready_made():
        if all(header_key(header) in keys for header in ready_made["told_by"]):
            return dict(ready_made)
    return None


@functools.cache
def _ready_made() -> tuple[Mapping[str, Any], ...]:
    content = _read_texts(_READY_MADE)
    return tuple(
        _ReadyMade.model_validate(given).model_dump(
            exclude_unset=True, exclude_none=True
        )
        for given in content.values()
    )


def reading_of(ready_made: Mapping[str, Any]) -> Reading:
    """How files of a ready-made mapping are read where nothing else is said."""
    return _reading(ready_made)


def _reading(
    given: Mapping[str, Any], more_properties: Mapping[str, Any] | None = None
) -> Reading:
    def keyed(headers: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {name: tuple(map(header_key, those)) for name, those in headers.items()}

    properties = {**(more_properties or {}), **given.get("properties", {})}
    sold = given.get("sold")
    settings = {
        name: given[name]
        for name in (
            "order_prefix",
            "zone",
            "time_format",
            "currency",
            "decimal_comma",
            "salesforce_ids",
        )
        if name in given
    }
    return Reading(
        rows=given["rows"],
        columns=keyed(given["columns"]),
        properties=keyed(properties),
        sold=None if sold is None else frozenset(text.strip().lower() for text in sold),
        **settings,
    )


def _check(reading: Reading, place: str, keys: frozenset[str], *, is_own: bool) -> None:
    known = COLUMNS[reading.rows]
    for name in reading.columns:
        if name not in known:
            raise InputError(
                f"{place}: {reading.rows} have no column '{_shown(name)}'; "
                f"use {', '.join(sorted(known))}"
            )
    for name, headers in reading.properties.items():
        if names_person(name) or any(map(names_person, headers)):
            raise InputError(
                f"{place}: the property '{_shown(name)}' would tell who somebody is; "
                "leave it out"
            )
    has = {
        name: any(header in keys for header in headers)
        for name, headers in reading.columns.items()
    }
    for needed in _NEEDED[reading.rows]:
        if not any(has.get(name) for name in needed):
            usual = [
                _shown(header)
                for name in needed
                for header in reading.columns.get(name, ())
            ]
            where = f" (such as {', '.join(usual)})" if usual else ""
            raise InputError(
                f"{place}: there is no column for {' or '.join(needed)}{where}; "
                f"{reading.rows} need it"
            )
    if is_own:
        for name, is_there in has.items():
            if not is_there:
                wanted = ", ".join(map(_shown, reading.columns[name]))
                raise InputError(
                    f"{place}: {name} is to come from a column {wanted}, "
                    "which the file does not have"
                )


def _shown(text: str) -> str:
    return MASK if has_identifier(text) else text

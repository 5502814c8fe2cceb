"""Files of a source that its YAML declares (see `nearline.landing.declarations`).

A nested record is flattened first by the source's shape; then column after column is
taken in as declared. Nothing that is not declared passes.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import orjson
import pyarrow as pa

from nearline.errors import InputError
from nearline.landing.declarations import Column, Declaration
from nearline.landing.formats import MASK, PROVENANCE, Rejection
from nearline.landing.nearline_format import content_hash
from nearline.landing.records import TextLayout
from nearline.landing.treatments import (
    ADDRESS_PARTS,
    PSEUDONYMS,
    Treat,
    cleaned,
    make_treatment,
    reduced_address,
)
from nearline.privacy.pseudonyms import Pseudonymizer

Fields = Mapping[str, Any]
Shape = Callable[[dict[str, Any]], dict[str, Any] | Rejection]
"""From a record as read to flat inputs, or why it is none of this source's."""

_EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_ .:-]{0,63}")
_PSEUDONYM = re.compile(r"[vuc]_[A-Za-z0-9_-]{22}")


class DeclaredFormat:
    """Reads what a `Declaration` describes, from JSON lines, text or Parquet."""

    allows_other_columns = True

    def __init__(self, declaration: Declaration, shape: Shape | None = None) -> None:
        self.name = declaration.format
        self.declaration = declaration
        self.known_columns = frozenset(
            name for column in declaration.columns for name in column.inputs
        )
        # A nested file's own columns differ from the flat ones.
        self.required_columns = (
            frozenset()
            if shape
            else frozenset(
                column.inputs[0]
                for column in declaration.columns
                if column.is_required and len(column.inputs) == 1
            )
        )
        self.schema = pa.schema(
            [
                *(
                    pa.field(
                        column.name,
                        column.type,
                        nullable=not (
                            column.is_required or column.treatment == "content_hash"
                        ),
                    )
                    for column in declaration.columns
                ),
                *PROVENANCE,
            ]
        )
        self._shape = shape
        self._pseudonymizer: Pseudonymizer | None = None
        self._steps: list[tuple[Column, Treat]] = []
        self._hashed = [c for c in declaration.columns if c.treatment == "content_hash"]
        known = {
            column.name for column in declaration.columns if column not in self._hashed
        }
        for column in self._hashed:
            unknown = sorted(set(column.options.get("of", ())) - known)
            if unknown:
                raise InputError(f"column {column.name}: there is no '{unknown[0]}'")
        # A mistake in the declaration is found before any file is opened.
        self._prepare(Pseudonymizer(b"no key is needed to look at options"))

    @property
    def files(self) -> tuple[str, ...]:
        return self.declaration.files

    @property
    def text(self) -> TextLayout | None:
        return self.declaration.text

    @property
    def mapping(self) -> str | None:
        return self.declaration.mapping

    def to_row(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        flat = self._shape(fields) if self._shape else fields
        if isinstance(flat, Rejection):
            return flat
        return self._row(flat, pseudonymizer)

    def from_dead_letter(
        self, fields: dict[str, Any], pseudonymizer: Pseudonymizer
    ) -> dict[str, Any] | Rejection:
        flat = _with_dotted(fields, self.known_columns)
        return self._row(flat, pseudonymizer, is_kept=True)

    def kept_of(
        self, fields: Fields, rejection: Rejection, pseudonymizer: Pseudonymizer
    ) -> dict[str, Any]:
        """A refused record, flat, without what is at fault or tells who it was."""
        self._prepare(pseudonymizer)
        kept: dict[str, Any] = {}
        flat = self._shape(dict(fields)) if self._shape else fields
        if isinstance(flat, Rejection):
            # What lies flat in it is known all the same.
            flat = fields if flat.flat is None else flat.flat
            kept[rejection.field] = MASK
        for column, treat in self._steps:
            for name in column.inputs:
                value = flat.get(name)
                if value is None:
                    continue
                is_refused = name == rejection.field or name in rejection.refused
                if column.treatment in PSEUDONYMS:
                    try:
                        # Hashed as at the door; a hash is not hashed again on replay.
                        # The first of several ids decides, as it does at the door.
                        kept.setdefault(column.name, treat(value))
                    except ValueError:
                        kept[name] = MASK
                elif is_refused:
                    kept[name] = MASK
                elif column.treatment in ADDRESS_PARTS:
                    kept[name] = reduced_address(value) or MASK
                elif column.treatment == "json":
                    # What the column leaves out is left out of a dead letter, too.
                    try:
                        kept[name] = _json_object(treat(value))
                    except ValueError:
                        kept[name] = MASK
                else:
                    kept[name] = cleaned(_json_object(value))
        return _with_objects(kept)

    def source_of(self, fields: Fields) -> str | None:
        return self.declaration.source

    def version_of(self, fields: Fields) -> str | None:
        return None

    def _prepare(self, pseudonymizer: Pseudonymizer) -> None:
        if self._pseudonymizer is pseudonymizer:
            return
        make = partial(
            make_treatment,
            hash_key=partial(pseudonymizer.key_of, self.declaration.source),
            pseudonym=partial(_pseudonym, pseudonymizer, self.declaration.source),
        )
        self._steps = [
            (column, make(column))
            for column in self.declaration.columns
            if column.treatment != "content_hash"
        ]
        self._pseudonymizer = pseudonymizer

    def _row(
        self, flat: Fields, pseudonymizer: Pseudonymizer, *, is_kept: bool = False
    ) -> dict[str, Any] | Rejection:
        """The raw row; `is_kept` says that the fields are those of a refused record,
        which came in by this door with its identifiers hashed."""
        self._prepare(pseudonymizer)
        row: dict[str, Any] = {}
        get = flat.get
        for column, treat in self._steps:
            if is_kept and _is_kept_pseudonym(column, get(column.name)):
                row[column.name] = get(column.name)
                continue
            value = None
            name = column.inputs[0]
            for name in column.inputs:
                value = get(name)
                if value is not None:
                    break
            if value is not None:
                try:
                    row[column.name] = value = treat(value)
                except ValueError as problem:
                    return Rejection(name, str(problem), self._event_name(flat))
            else:
                row[column.name] = None
            if value is None and (missing := _what_is_missing(column, flat)):
                return Rejection(column.inputs[0], missing, self._event_name(flat))
        for column in self._hashed:
            # Over what is kept: a hash over a raw id could be undone by trying.
            names = column.options.get("of", row)
            present = {key: row[key] for key in names if row[key] is not None}
            row[column.name] = content_hash(present)
        return row

    def _event_name(self, flat: Fields) -> str | None:
        name = flat.get(self.declaration.event_name or "")
        return name if isinstance(name, str) and _EVENT_NAME.fullmatch(name) else None


def _what_is_missing(column: Column, flat: Fields) -> str | None:
    """Why a row may not lack the column; null where it may."""
    if column.is_required:
        return "is missing; every row needs it"
    exceptions = column.required_unless
    if exceptions and all(flat.get(key) != text for key, text in exceptions.items()):
        rows = " or ".join(f"{key} is {text}" for key, text in exceptions.items())
        return f"is missing; every row needs it unless {rows}"
    return None


def _pseudonym(
    pseudonymizer: Pseudonymizer, source: str, kind: str, identifier: str
) -> str:
    if kind == "visitor":
        return pseudonymizer.visitor(source, identifier)
    if kind == "user":
        return pseudonymizer.user(identifier)
    return pseudonymizer.contact(identifier)


def _is_kept_pseudonym(column: Column, value: object) -> bool:
    return (
        column.treatment in PSEUDONYMS
        and isinstance(value, str)
        and _PSEUDONYM.fullmatch(value) is not None
    )


def _with_objects(flat: Fields) -> dict[str, Any]:
    """`device.category` as an object `device`, as paths of a fix lead into a record."""
    record: dict[str, Any] = {}
    for name, value in flat.items():
        *above, last = name.split(".")
        if any(".".join(above[:depth]) in flat for depth in range(1, len(above) + 1)):
            above, last = [], name
        place = record
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return record


def _with_dotted(record: Fields, names: frozenset[str]) -> dict[str, Any]:
    """A record to which the dotted ones of `names` were added, from its objects."""
    flat = dict(record)
    for name in names:
        if "." in name and name not in flat:
            value: Any = record
            for part in name.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value is not None:
                flat[name] = value
    return flat


def _json_object(value: Any) -> Any:
    """JSON inside text laid open, so that what is in it is cleaned piece by piece."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def declared_format(
    declaration: Declaration, shapes: Mapping[str, Shape]
) -> DeclaredFormat:
    """The format of a declaration.

    Raises:
        InputError: the declaration asks for something that there is not.
    """
    shape = declaration.shape
    if shape is not None and shape not in shapes:
        known = ", ".join(sorted(shapes)) or "none yet"
        raise InputError(
            f"format '{declaration.format}' has no shape '{shape}'; there are: {known}"
        )
    try:
        return DeclaredFormat(declaration, shapes[shape] if shape else None)
    except InputError as problem:
        raise InputError(f"format '{declaration.format}', {problem}") from problem

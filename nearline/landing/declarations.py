"""What a source's YAML says of its files: which columns are read, and what is kept.

The declaration is dbt's own description of the raw table (`sources:` in the staging
folder of the source), so the documentation of a column and the rule by which it passes
the door are one text. Under `config: meta:` a column says

- `from`: its names in the file, the first that has a value (default: its own name);
- `as`: how it is taken in (`nearline.landing.treatments` lists the ways);
- `required`, or `required_unless` (inputs and the values with which a row may lack it),
  and options of that way;

and the table says under `landing` how its files look (`Declaration`). Columns of a file
that are not declared are not kept. Not here: what a value means, which is SQL.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml

from nearline.errors import InputError
from nearline.landing.formats import PROVENANCE
from nearline.landing.records import TextLayout

_TYPES: Mapping[str, pa.DataType] = {
    "varchar": pa.string(),
    "timestamp": pa.timestamp("us"),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
}
_USUAL_TREATMENT: Mapping[str, str] = {
    "varchar": "text",
    "timestamp": "moment",
    "bigint": "integer",
    "double": "number",
    "boolean": "boolean",
}
_WHERE_FROM = {"landing_id", *(field.name for field in PROVENANCE)}
_LANDING_KEYS = frozenset(
    {"format", "source", "shape", "mapping", "event_name", "files", "text", "left_out"}
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the raw table and where it comes from."""

    name: str
    type: pa.DataType
    inputs: tuple[str, ...]
    treatment: str
    is_required: bool = False
    required_unless: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declaration:
    """One kind of files.

    `format` is what `ingest --format` calls it, `source` what its events are said to
    come from; `shape` names the Python that flattens nested records, where one is
    needed, and `mapping` the file beside the data that tells it what the columns are;
    `event_name` is the input that says what happened; `files` are patterns of file
    names, none for all. `left_out` gives the reason for each input that is knowingly
    not kept.
    """

    format: str
    source: str
    table: str
    description: str
    columns: tuple[Column, ...]
    shape: str | None = None
    mapping: str | None = None
    event_name: str | None = None
    files: tuple[str, ...] = ()
    text: TextLayout | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


def find_declarations(dbt_project: Path) -> dict[str, Declaration]:
    """All declarations below `models/staging`, by format.

    Raises:
        InputError: a file says something that means nothing, or a format is twice.
    """
    found: dict[str, Declaration] = {}
    for path in sorted((dbt_project / "models" / "staging").rglob("*.yml")):
        for declaration in _read(path, path.stat().st_mtime_ns):
            if declaration.format in found:
                raise InputError(
                    f"{path.name}: format '{declaration.format}' is declared twice"
                )
            found[declaration.format] = declaration
    return found


@lru_cache(maxsize=256)
def _read(path: Path, modified_at: int) -> tuple[Declaration, ...]:
    text = path.read_text()
    if "landing:" not in text:
        return ()
    try:
        content = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as problem:
        raise InputError(f"{path.name} is not YAML: {problem}") from problem
    return tuple(
        _declaration(path, table)
        for source in content.get("sources", ())
        for table in source.get("tables", ())
        if "landing" in _meta(table)
    )


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    config = node.get("config") or {}
    meta: Mapping[str, Any] = config.get("meta") or {}
    return meta


def _declaration(path: Path, table: Mapping[str, Any]) -> Declaration:
    landing = _meta(table)["landing"]
    place = f"{path.name}, {table['name']}"
    unknown = sorted(set(landing) - _LANDING_KEYS)
    if unknown:
        raise InputError(
            f"{place}: landing has no setting '{unknown[0]}'; "
            f"use {', '.join(sorted(_LANDING_KEYS))}"
        )
    if "format" not in landing:
        raise InputError(f"{place}: landing names no format; add `format: <name>`")
    name = landing["format"]
    if table["name"] != f"{name}_events":
        raise InputError(f"{place}: the raw table of this format is {name}_events")
    return Declaration(
        format=name,
        source=landing.get("source", name),
        table=table["name"],
        description=table.get("description", ""),
        columns=tuple(
            _column(place, column)
            for column in table.get("columns", ())
            if column["name"] not in _WHERE_FROM
        ),
        shape=landing.get("shape"),
        mapping=landing.get("mapping"),
        event_name=landing.get("event_name"),
        files=_texts(landing.get("files", ())),
        text=_layout(place, landing.get("text")),
        left_out=landing.get("left_out", {}),
    )


def _column(place: str, column: Mapping[str, Any]) -> Column:
    name = column["name"]
    data_type = column.get("data_type", "none")
    if data_type not in _TYPES:
        raise InputError(
            f"{place}, column {name}: data_type must be one of {', '.join(_TYPES)}"
        )
    options = dict(_meta(column))
    inputs = options.pop("from", name)
    return Column(
        name=name,
        type=_TYPES[data_type],
        inputs=_texts(inputs),
        treatment=options.pop("as", _USUAL_TREATMENT[data_type]),
        is_required=options.pop("required", False),
        required_unless=options.pop("required_unless", {}),
        options=options,
    )


def _texts(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _layout(place: str, text: Mapping[str, Any] | None) -> TextLayout | None:
    if text is None:
        return None
    lists = {key: tuple(text[key]) for key in ("columns", "encodings") if key in text}
    try:
        return TextLayout(**{**text, **lists})
    except TypeError as problem:
        known = ", ".join(TextLayout.__dataclass_fields__)
        raise InputError(f"{place}: text knows {known} alone") from problem

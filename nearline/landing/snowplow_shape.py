"""Snowplow's entities as flat fields, whichever way they were exported.

An enriched event holds its entities as self-describing JSON in `contexts`,
`derived_contexts` and `unstruct_event`; a warehouse's `atomic.events` has a column for
each kind. Both become the warehouse's names: `contexts_<vendor>_<name>_<major>`, a list
of objects, and `unstruct_event_<vendor>_<name>_<major>`, an object. Beside them stand

- the fields of the first entity of a kind, `<column>_<field in snake case>`; a list of
  texts as one text;
- `unstruct_event`: the event's own object, its keys in snake case as some warehouses
  have them, without what people type into forms;
- `session_visitor` and `account_visitor`: who an event is of where no cookie says it.

Not here: what any of it means.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from nearline.landing.formats import Rejection, type_name

_SELF_DESCRIBING = ("contexts", "derived_contexts", "unstruct_event")
_SCHEMA = re.compile(r"iglu:([\w.-]{1,200})/([\w-]{1,200})/[\w-]+/(\d{1,3})-\d+-\d+")
# BigQuery's loader long had the whole version in a column's name.
_COLUMN = re.compile(r"((?:contexts|unstruct_event)_[a-z0-9_]+?_\d+)(?:_\d+_\d+)?")
_CAPITALS = re.compile(r"([A-Z]+)([A-Z][a-z])")
_CAMEL = re.compile(r"([a-z0-9])([A-Z])")
# How trackers that are told to be anonymous and collectors without cookies say "nobody".
_NOBODY = "00000000-0000-0000-0000-000000000000"
_SNOWPLOW = "unstruct_event_com_snowplowanalytics_snowplow_"
_TYPED_BY_PEOPLE: Mapping[str, frozenset[str]] = {
    f"{_SNOWPLOW}change_form_1": frozenset({"value"}),
    f"{_SNOWPLOW}focus_form_1": frozenset({"value"}),
    f"{_SNOWPLOW}submit_form_1": frozenset({"elements"}),
    f"{_SNOWPLOW}link_click_1": frozenset({"element_content"}),
    # What a pipeline's own pseudonyms were made of.
    f"{_SNOWPLOW}pii_transformation_1": frozenset({"pii"}),
}


def flat_event(fields: dict[str, Any]) -> dict[str, Any] | Rejection:
    """One enriched event or row of `atomic.events`, flat."""
    flat: dict[str, Any] = {}
    entities: dict[str, list[dict[str, Any]]] = {}
    for name, value in fields.items():
        if value is None or value == "" or value == _NOBODY:
            continue
        # Snowflake writes names in capitals.
        name = name.lower()
        if name in _SELF_DESCRIBING:
            found = _self_described(value, is_event=name == "unstruct_event")
        elif (kind := _kind_of_column(name)) is not None:
            found = _of_column(kind, value)
        else:
            flat[name] = value
            continue
        if found is None:
            what = (
                "self-describing JSON" if name in _SELF_DESCRIBING else "JSON objects"
            )
            return Rejection(name, f"must be {what}; got {type_name(value)}")
        for kind, entity in found:
            entities.setdefault(kind, []).append(entity)
    for kind, listed in entities.items():
        _add_entity(flat, kind, listed)
    if "domain_sessionid" in flat:
        flat["session_visitor"] = f"session:{flat['domain_sessionid']}"
    if "user_id" in flat:
        flat["account_visitor"] = f"account:{flat['user_id']}"
    return flat


def _add_entity(flat: dict[str, Any], kind: str, listed: list[dict[str, Any]]) -> None:
    first = listed[0]
    if kind.startswith("unstruct_event_"):
        flat[kind] = first
        typed = _TYPED_BY_PEOPLE.get(kind, frozenset())
        flat["unstruct_event"] = {
            key: value
            for name, value in first.items()
            if (key := _snake(name)) not in typed
        }
    else:
        flat[kind] = listed
    for name, value in first.items():
        if value is None or value == "" or value == _NOBODY:
            continue
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = " ".join(value)
        flat[f"{kind}_{_snake(name)}"] = value


_Found = list[tuple[str, dict[str, Any]]]


def _self_described(value: Any, *, is_event: bool) -> _Found | None:
    """Kinds and objects in self-describing JSON; None where it is none."""
    outer = _json(value)
    if not isinstance(outer, dict):
        return None
    prefix = "unstruct_event" if is_event else "contexts"
    found: _Found = []
    for entity in _listed(outer.get("data")):
        if not isinstance(entity, dict) or not isinstance(entity.get("data"), dict):
            return None
        schema = entity.get("schema")
        kind = _kind(prefix, schema) if isinstance(schema, str) else None
        if kind is None:
            return None
        found.append((kind, entity["data"]))
    return found


@functools.lru_cache(maxsize=10_000)
def _kind_of_column(name: str) -> str | None:
    column = _COLUMN.fullmatch(name)
    return None if column is None else column[1]


def _of_column(kind: str, value: Any) -> _Found | None:
    value = _json(value)
    if value is None:
        return []
    objects = list(_listed(value))
    if not all(isinstance(inner, dict) for inner in objects):
        return None
    return [(kind, inner) for inner in objects]


def _json(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _listed(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
    else:
        yield value


@functools.lru_cache(maxsize=10_000)
def _kind(prefix: str, schema: str) -> str | None:
    """`iglu:org.schema/WebPage/jsonschema/1-0-0` as `contexts_org_schema_web_page_1`."""
    parts = _SCHEMA.fullmatch(schema)
    if parts is None:
        return None
    vendor = parts[1].replace(".", "_").replace("-", "_").lower()
    return f"{prefix}_{vendor}_{_snake(parts[2])}_{parts[3]}"


@functools.lru_cache(maxsize=10_000)
def _snake(name: str) -> str:
    name = _CAPITALS.sub(r"\1_\2", name)
    return _CAMEL.sub(r"\1_\2", name).replace("-", "_").replace(".", "_").lower()

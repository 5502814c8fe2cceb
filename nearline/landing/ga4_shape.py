"""One row of GA4's BigQuery export as flat fields.

Records within the row get dotted names (`device.category`), and so do parameters and user
properties, which the export lists as keys and values: `event_params.page_location` is the
one of its four typed values that is there. Beside them stand

- `items`: the lines, without what no column is made of, so that lines in JSON and in
  Parquet are the same;
- `stream_id:user_pseudo_id`: who it was. A cookie's or an app's id is one stream's;
- `is_ad_click`: whether a click id of Google Ads came along. The id itself names a click
  of one person and is not passed on.

Empty text is no value. Not here: what any of it means.
"""

import re
from collections.abc import Iterator
from typing import Any

from nearline.landing.formats import Rejection, type_name
from nearline.landing.treatments import as_text_id

_PARAMETER_LISTS = ("event_params", "user_properties")
_RECORDS = ("collected_traffic_source", "device", "ecommerce", "privacy_info")
_VALUE_KINDS = ("string_value", "int_value", "float_value", "double_value")
_ITEM_FIELDS = (
    "item_id",
    "item_name",
    "item_brand",
    "item_category",
    "price",
    "quantity",
)
_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_CLICK_IDS = ("collected_traffic_source.gclid", "event_params.gclid")


def flat_row(fields: dict[str, Any]) -> dict[str, Any] | Rejection:
    """One row of `events_*` or `events_intraday_*`, flat."""
    flat: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None or value == "":
            continue
        if name in _PARAMETER_LISTS:
            if not _add_parameters(flat, name, value):
                return _not_listed(name, "keys and values", value)
        elif name == "items":
            lines = _listed(value)
            if lines is None:
                return _not_listed(name, "objects", value)
            if lines:
                flat[name] = [_line(line) for line in lines]
        elif name in _RECORDS and not isinstance(value, dict):
            return Rejection(name, f"must be an object; got {type_name(value)}")
        else:
            # Whole as well: a column that takes no object says so.
            flat[name] = value
            flat.update(_dotted(name, value) if isinstance(value, dict) else ())
    if "user_pseudo_id" in flat:
        flat["stream_id:user_pseudo_id"] = _of_stream(flat)
    if any(name in flat for name in _CLICK_IDS):
        flat["is_ad_click"] = True
    return flat


def _not_listed(name: str, what: str, value: Any) -> Rejection:
    return Rejection(name, f"must be a list of {what}; got {type_name(value)}")


def _of_stream(flat: dict[str, Any]) -> Any:
    visitor, stream = (
        as_text_id(flat["user_pseudo_id"]),
        as_text_id(flat.get("stream_id")),
    )
    if visitor is None or stream is None:
        return flat["user_pseudo_id"]
    return f"{stream}:{visitor}"


def _add_parameters(flat: dict[str, Any], name: str, value: Any) -> bool:
    """Adds a list's parameters; false where it is no list of keys and values."""
    pairs = _listed(value)
    if pairs is None:
        return False
    for pair in pairs:
        key, typed = pair.get("key"), pair.get("value")
        if not isinstance(key, str) or not isinstance(typed, dict | None):
            return False
        found = (typed.get(kind) for kind in _VALUE_KINDS) if typed else ()
        given = next((one for one in found if one is not None and one != ""), None)
        if given is not None:
            flat.setdefault(f"{name}.{key}", given)
    return True


def _listed(value: Any) -> list[dict[str, Any]] | None:
    """A repeated record's objects; Parquet files may wrap them, list and element."""
    if isinstance(value, dict) and isinstance(value.get("list"), list):
        value = [
            inner.get("element") if isinstance(inner, dict) else inner
            for inner in value["list"]
        ]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return None
    return value


def _line(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _plain(item[name])
        for name in _ITEM_FIELDS
        if item.get(name) not in (None, "")
    }


def _plain(value: Any) -> Any:
    """One way to write a whole number, for `2`, `2.0` and BigQuery's `"2"` are one."""
    is_whole = isinstance(value, float) and value.is_integer()
    if is_whole or (isinstance(value, str) and _WHOLE.fullmatch(value)):
        return int(value)
    return value


def _dotted(name: str, record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        if isinstance(value, dict):
            yield from _dotted(f"{name}.{key}", value)
        elif value is not None and value != "":
            yield f"{name}.{key}", value

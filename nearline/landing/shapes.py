"""How nested records become flat, by the name that a declaration uses.

A shape is for what YAML cannot say: lists of keys and values, objects within objects. It
renames nothing and judges nothing that a column's way of being taken in can.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from nearline.landing.adobe_shape import flat_hit
from nearline.landing.crm_shape import flat_record, shape_of_file
from nearline.landing.declared_format import Shape
from nearline.landing.ga4_shape import flat_row
from nearline.landing.segment_shape import flat_call
from nearline.landing.snowplow_shape import flat_event

SHAPES: Mapping[str, Shape] = {
    "adobe": flat_hit,
    "crm": flat_record,
    "ga4": flat_row,
    "segment": flat_call,
    "snowplow": flat_event,
}

FILE_SHAPES: Mapping[str, Callable[[Path, Path | None], Shape]] = {
    "crm": shape_of_file,
}
"""Shapes that differ from file to file: made of a file and the mapping beside it."""

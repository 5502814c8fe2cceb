"""How nested records become flat, by the name that a declaration uses.

A shape is for what YAML cannot say: lists of keys and values, objects within objects. It
renames nothing and judges nothing that a column's way of being taken in can.
"""

from collections.abc import Mapping

from nearline.landing.adobe_shape import flat_hit
from nearline.landing.declared_format import Shape
from nearline.landing.ga4_shape import flat_row
from nearline.landing.segment_shape import flat_call
from nearline.landing.snowplow_shape import flat_event

SHAPES: Mapping[str, Shape] = {
    "adobe": flat_hit,
    "ga4": flat_row,
    "segment": flat_call,
    "snowplow": flat_event,
}

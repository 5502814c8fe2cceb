"""How nested records become flat, by the name that a declaration uses.

A shape is for what YAML cannot say: lists of keys and values, objects within objects. It
renames nothing and judges nothing that a column's way of being taken in can.
"""

from collections.abc import Mapping

from nearline.landing.declared_format import Shape
from nearline.landing.segment_shape import flat_call

SHAPES: Mapping[str, Shape] = {"segment": flat_call}

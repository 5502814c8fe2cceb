"""Brings events of an older major version of the contract to the current one.

A major version changes what a field means, so its events are not taken as they are. An
upgrader for major n takes the fields of such an event to the form of major n + 1; the
last one ends at ours. A shop that has events of its own old form registers an upgrader
under the entry-point group `nearline.event_upgraders`, named by the major version that
it takes ("0").
"""

import functools
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from typing import Any

from nearline.events.contract import SUPPORTED_MAJOR, major_version

Upgrader = Callable[[dict[str, Any]], dict[str, Any]]

ENTRY_POINT_GROUP = "nearline.event_upgraders"


@functools.cache
def registered_upgraders() -> Mapping[int, Upgrader]:
    """Upgraders of the installed packages, by the major version that they take."""
    return {
        int(point.name): point.load() for point in entry_points(group=ENTRY_POINT_GROUP)
    }


def upgrade_event(
    fields: dict[str, Any], upgraders: Mapping[int, Upgrader] | None = None
) -> dict[str, Any]:
    """The event in the form of our major version, or as it is where no way leads there.

    An event without a way (no upgrader, a later major, no version that can be read) is
    left to the contract's check, which refuses it and says why. A broken upgrader raises
    what it raises: it is a defect of code, not of the event.

    Args:
        upgraders: by the major version that they take; the registered ones by default.
    """
    major = major_version(fields.get("schema_version"))
    if major is None or major >= SUPPORTED_MAJOR:
        return fields
    if upgraders is None:
        upgraders = registered_upgraders()
    way = range(major, SUPPORTED_MAJOR)
    if any(step not in upgraders for step in way):
        return fields
    for step in way:
        fields = upgraders[step](dict(fields))
    return fields

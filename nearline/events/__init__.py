"""The event contract: what an event is, its versions, and what may never be in one."""

from nearline.events.contract import (
    SCHEMA_VERSION,
    Event,
    Item,
    json_schema,
)
from nearline.events.identifiers import IdentifierKind, find_identifier
from nearline.events.upgrading import upgrade_event

__all__ = [
    "SCHEMA_VERSION",
    "Event",
    "IdentifierKind",
    "Item",
    "find_identifier",
    "json_schema",
    "upgrade_event",
]

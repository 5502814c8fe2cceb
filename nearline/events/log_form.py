"""An event as the log holds it: no nulls, times in milliseconds of UTC, items as objects."""

import functools
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from nearline.events.contract import Event


def to_log_form(event: Event, names: Iterable[str] | None = None) -> dict[str, Any]:
    """The fields of an event that have a value, ready to be written as JSON.

    Args:
        names: names that may have a value, others among them; all by default. Half of
            an event's fields have none, and a door that knows which saves the look.
    """
    values = event.__dict__
    kept = {
        name: values[name]
        for name in (values if names is None else names)
        if values.get(name) is not None
    }
    kept["occurred_at"] = written(event.occurred_at)
    for name in ("sent_at", "received_at"):
        if name in kept:
            kept[name] = _written_often(kept[name])
    if event.items is not None:
        kept["items"] = [
            {name: value for name, value in item.__dict__.items() if value is not None}
            for item in event.items
        ]
    return kept


def written(moment: datetime) -> str:
    """A moment of UTC as text, to the millisecond."""
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


# A batch has one time of sending and one of arrival.
_written_often = functools.lru_cache(maxsize=100)(written)

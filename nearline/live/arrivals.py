"""Records of the event log as rows of the contract; what is none is counted and left.

The landing sets the same records aside with field and reason, so nothing is lost by
passing over them here, and one bad record never holds up the ones behind it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from nearline.events.contract import Event
from nearline.landing.formats import Rejection
from nearline.landing.log_records import arrival_of, event_fields
from nearline.landing.nearline_format import NearlineFormat
from nearline.log.protocol import LogRecord

_FORMAT = NearlineFormat()
_SCHEMA = pa.schema([_FORMAT.schema.field(name) for name in Event.model_fields])


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Events in the order of the log, in the contract's columns; and how many were none."""

    events: pa.Table
    rejected_count: int

    def received_at(self) -> list[datetime]:
        """When each event arrived (UTC)."""
        moments: list[Any] = self.events["received_at"].to_pylist()
        return [moment.replace(tzinfo=UTC) for moment in moments]

    def visitors(self) -> list[str]:
        """Whose events these are, each once."""
        return [str(visitor) for visitor in set(self.events["visitor_id"].to_pylist())]


def read_arrivals(records: Iterable[LogRecord], now: datetime) -> Arrivals:
    """The events that `records` hold, as the landing understands them at `now`."""
    rows = []
    rejected_count = 0
    for record in records:
        row = _row(record, now)
        if row is None:
            rejected_count += 1
        else:
            rows.append(row)
    try:
        events = pa.Table.from_pylist(rows, _SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        fitting = [row for row in rows if _fits(row)]
        rejected_count += len(rows) - len(fitting)
        events = pa.Table.from_pylist(fitting, _SCHEMA)
    return Arrivals(events, rejected_count)


def _row(record: LogRecord, now: datetime) -> dict[str, Any] | None:
    fields = event_fields(record, arrival_of(record, now))
    if isinstance(fields, Rejection):
        return None
    # Pseudonyms were made at the door: this form is never hashed.
    row = _FORMAT.to_event_row(fields)
    return None if isinstance(row, Rejection) else row


def _fits(row: dict[str, Any]) -> bool:
    try:
        pa.Table.from_pylist([row], _SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return False
    return True

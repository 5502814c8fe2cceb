"""What a record of the event log says, and when it arrived: one reading for all readers.

Belongs here: from bytes to fields. What the fields of an event must be is
`nearline_format`; what becomes of a record is for whoever reads the log.
"""

from datetime import UTC, datetime
from typing import Any

import orjson

from nearline.landing.formats import Rejection
from nearline.log.protocol import LogRecord

# A clock that is further away than this is wrong, or the topic is somebody else's: the
# record then counts to the moment at which it is read, so that files stay few.
_MOST_DAYS_OLD = 31
_ONE_DAY_SECONDS = 86_400


def arrival_of(record: LogRecord, now: datetime) -> datetime:
    """When a record came into the log (UTC), or `now` where its clock cannot be right."""
    age = now.timestamp() - record.appended_at / 1000
    if -_ONE_DAY_SECONDS <= age <= _MOST_DAYS_OLD * _ONE_DAY_SECONDS:
        return datetime.fromtimestamp(record.appended_at / 1000, UTC)
    return now.astimezone(UTC)


def record_fields(record: LogRecord) -> dict[str, Any] | Rejection:
    """The JSON object that a record is, or why it is none."""
    try:
        fields = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return Rejection("(record)", "is not JSON")
    if not isinstance(fields, dict):
        return Rejection("(record)", "is JSON but not an object")
    return fields


def event_fields(record: LogRecord, arrival: datetime) -> dict[str, Any] | Rejection:
    """The fields of a record of events; one that does not say when it was received was
    when it arrived."""
    fields = record_fields(record)
    if not isinstance(fields, Rejection) and fields.get("received_at") is None:
        fields["received_at"] = arrival
    return fields

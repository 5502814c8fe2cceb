"""The event log: SQLite, Kafka or Kinesis behind one Protocol."""

from nearline.log.opening import open_log
from nearline.log.protocol import (
    DEADLETTERS,
    EVENTS,
    EventLog,
    LogRecord,
    LogUnavailableError,
    NewRecord,
)

__all__ = [
    "DEADLETTERS",
    "EVENTS",
    "EventLog",
    "LogRecord",
    "LogUnavailableError",
    "NewRecord",
    "open_log",
]

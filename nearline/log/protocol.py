"""What every event log can do, whichever system keeps it.

A log holds one *topic* (`EVENTS`, `DEADLETTERS`) in numbered partitions. Within a
partition offsets only grow, and a reader that has seen offset n has seen all before it.
Values are bytes: what is in them is the business of who writes and reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nearline.errors import NearlineError

EVENTS, DEADLETTERS = "events", "deadletters"
"""The topics: what the door let in, and what it refused."""


class LogUnavailableError(NearlineError):
    """The log cannot take or give anything now; trying again later may work.

    Whoever appended has no answer: the records may or may not be in the log.
    """


@dataclass(frozen=True, slots=True)
class NewRecord:
    """What is appended. Records of one key go to one partition, in order."""

    key: str
    value: bytes


@dataclass(frozen=True, slots=True)
class LogRecord:
    """What is read. `appended_at` is milliseconds since 1970 (UTC), by the log's clock.

    Offsets of a partition are strictly increasing but need not be consecutive (Kinesis'
    sequence numbers are not).
    """

    partition: int
    offset: int
    appended_at: int
    key: str
    value: bytes


class EventLog(Protocol):
    """One topic of an event log. Instances may be used from several threads."""

    topic: str

    def append(self, records: Sequence[NewRecord]) -> None:
        """Appends all records durably: when this returns, they survive any crash.

        Raises:
            LogUnavailableError: not known to be durable; append again (twice is
                harmless, readers tell events apart by their id).
        """
        ...

    def partitions(self) -> list[int]:
        """Numbers of the partitions, ascending."""
        ...

    def read(self, partition: int, start: int, limit: int) -> list[LogRecord]:
        """Up to `limit` records from offset `start` on (inclusive), in order.

        Returns at once; an empty list means that there is nothing yet. A `start` older
        than what retention has left reads from the oldest record there is.
        """
        ...

    def ends(self) -> Mapping[int, int]:
        """For each partition, an offset above every record's in it: where to go on."""
        ...

    def position(self, consumer: str) -> Mapping[int, int]:
        """The next offsets that a named consumer will read; partitions it has none for
        are left out."""
        ...

    def commit(self, consumer: str, position: Mapping[int, int]) -> None:
        """Notes where a consumer goes on. A position never moves backwards."""
        ...

    def remove_before(self, position: Mapping[int, int]) -> int:
        """Retention: removes records below these offsets; returns how many (or 0 where
        the log removes by age on its own, as Kafka and Kinesis do)."""
        ...

    def close(self) -> None:
        """Frees connections and threads; what was appended stays."""
        ...

"""Records of the event log as the files of one landing.

`events-<day>-p<partition>-<first>-<last>.parquet` holds events, and `rejects-<topic>-…`
what fits no event: dead letters, and records of writers that never met the collector.
Days are those of arrival in the log, first and last are offsets.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from nearline.events.contract import Key, Moment
from nearline.events.identifiers import find_identifier
from nearline.landing.formats import MASK, REJECTS_SCHEMA, Rejection
from nearline.landing.landings import OffsetRange
from nearline.landing.nearline_format import NearlineFormat, content_hash
from nearline.landing.row_files import RowFile, reject_row
from nearline.log.protocol import DEADLETTERS, LogRecord
from nearline.privacy.pseudonyms import Pseudonymizer

_LARGEST_BIGINT = 2**63 - 1
_LONGEST_TEXT = 500
# A clock that is further away than this is wrong, or the topic is somebody else's: the
# record then counts to the day of its landing, so that files stay few.
_MOST_DAYS_OLD = 31
_ONE_DAY_SECONDS = 86_400

_FORMAT = NearlineFormat()


@dataclass(slots=True)
class _DayFile:
    """Rows of one day and partition, named when the last of them is known."""

    draft: Path
    label: str
    rows: RowFile
    first: int
    last: int

    def close(self) -> None:
        # Twenty digits keep the offsets of SQLite and Kafka in order of their names.
        name = f"{self.label}-{self.first:020d}-{self.last:020d}.parquet"
        (self.draft / self.label).rename(self.draft / name)


class LogFiles:
    """Takes records one by one, in the order of their offsets in each partition."""

    def __init__(
        self, draft: Path, identity: str, pseudonymizer: Pseudonymizer, now: datetime
    ) -> None:
        self.accepted_count = 0
        self.rejected_count = 0
        self._draft = draft
        self._identity = identity
        self._pseudonymizer = pseudonymizer
        self._now = now
        self._files: dict[str, _DayFile] = {}
        self._opened = ExitStack()
        self._ranges: dict[tuple[str, int], tuple[int, int]] = {}
        self._counts: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> "LogFiles":
        return self

    def __exit__(self, *failure: Any) -> None:
        self._opened.__exit__(*failure)
        if failure[0] is None:
            for file in self._files.values():
                file.close()

    def ranges(self) -> tuple[OffsetRange, ...]:
        return tuple(
            OffsetRange(topic, partition, first, last)
            for (topic, partition), (first, last) in sorted(self._ranges.items())
        )

    def add(self, topic: str, record: LogRecord) -> None:
        place = (topic, record.partition)
        first, _ = self._ranges.get(place, (record.offset, record.offset))
        self._ranges[place] = (first, record.offset)
        self._counts[place] += 1
        arrival = self._arrival(record.appended_at)
        is_event, row = self._row(topic, record, arrival)
        row["source_file"] = f"log:{topic}/{record.partition}"
        # Kinesis' offsets fit no integer of a database: rows are counted instead.
        row["source_row"] = (
            record.offset if record.offset <= _LARGEST_BIGINT else self._counts[place]
        )
        day = arrival.date().isoformat()
        if is_event:
            self.accepted_count += 1
            label = f"events-{day}-p{record.partition}"
        else:
            self.rejected_count += 1
            label = f"rejects-{topic}-{day}-p{record.partition}"
        schema = _FORMAT.schema if is_event else REJECTS_SCHEMA
        file = self._file(label, schema, record.offset)
        file.rows.add(row)
        file.last = record.offset

    def _file(self, label: str, schema: pa.Schema, offset: int) -> _DayFile:
        if label not in self._files:
            rows = self._opened.enter_context(RowFile(self._draft / label, schema))
            self._files[label] = _DayFile(self._draft, label, rows, offset, offset)
        return self._files[label]

    def _arrival(self, appended_at: int) -> datetime:
        """When a record came into the log, or now where its clock cannot be right."""
        age = self._now.timestamp() - appended_at / 1000
        if -_ONE_DAY_SECONDS <= age <= _MOST_DAYS_OLD * _ONE_DAY_SECONDS:
            return datetime.fromtimestamp(appended_at / 1000, UTC)
        return self._now.astimezone(UTC)

    def _row(
        self, topic: str, record: LogRecord, arrival: datetime
    ) -> tuple[bool, dict[str, Any]]:
        """The row of a record, and whether it is one of events."""
        fields: Any = {}
        try:
            fields = orjson.loads(record.value)
        except orjson.JSONDecodeError:
            row: dict[str, Any] | Rejection = Rejection("(record)", "is not JSON")
        else:
            if not isinstance(fields, dict):
                fields = {}
                row = Rejection("(record)", "is JSON but not an object")
            elif topic == DEADLETTERS:
                row = self._deadletter_row(fields)
                fields = {}
            else:
                if fields.get("received_at") is None:
                    fields["received_at"] = arrival
                row = _FORMAT.to_row(fields, self._pseudonymizer)
                if not isinstance(row, Rejection):
                    return True, row
        if isinstance(row, Rejection):
            # A topic may have writers that never met the collector: what they send
            # wrongly is set aside here, so that the records behind it land.
            row = reject_row(_FORMAT, fields, row, self._pseudonymizer, arrival)
            place = [self._identity, topic, record.partition, str(record.offset)]
            row["deadletter_id"] = content_hash({"record": place})
        return False, row

    def _deadletter_row(self, fields: dict[str, Any]) -> dict[str, Any] | Rejection:
        """The row of what the collector refused, masked as if nobody had."""
        try:
            letter = _DeadLetter.model_validate(fields)
        except ValidationError as problem:
            (name, *_) = problem.errors()[0]["loc"]
            return Rejection(
                "(record)", f"is no dead letter: {name} is missing or wrong"
            )
        kept = _FORMAT.kept_of(letter.fields, Rejection("", ""), self._pseudonymizer)
        names = {"source": letter.source, "schema_version": letter.schema_version}
        return {
            "deadletter_id": letter.deadletter_id,
            "received_at": letter.received_at.replace(tzinfo=None),
            "source_format": _FORMAT.name,
            "source": _FORMAT.source_of(names),
            "schema_version": _FORMAT.version_of(names),
            "event_name": _FORMAT.event_name_of({"event_name": letter.event_name}),
            "field": _shown(letter.field),
            "reason": _shown(letter.reason),
            "row_masked": orjson.dumps(kept).decode(),
        }


class _DeadLetter(BaseModel):
    """A record of the topic `deadletters`, as the collector writes it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    deadletter_id: Key
    received_at: Moment
    source: str | None = None
    schema_version: str | None = None
    event_name: str | None = None
    field: str
    reason: str
    fields: dict[str, Any]


def _shown(text: str) -> str:
    is_fit = len(text) <= _LONGEST_TEXT and find_identifier(text) is None
    return text if is_fit else MASK

"""Records of the event log as the files of one landing.

`events-<day>-p<partition>-<first>-<last>.parquet` holds events, and `rejects-<topic>-…`
what fits no event: dead letters, and records of writers that never met the collector.
Days are those of arrival in the log, first and last are offsets.
"""

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from nearline.events.contract import Key, Moment
from nearline.events.identifiers import find_identifier
from nearline.landing.formats import MASK, REJECTS_SCHEMA, Rejection
from nearline.landing.landings import OffsetRange
from nearline.landing.log_records import arrival_of, event_fields, record_fields
from nearline.landing.nearline_format import NearlineFormat, content_hash
from nearline.landing.row_files import RowFile, reject_row
from nearline.log.protocol import DEADLETTERS, LogRecord
from nearline.privacy.pseudonyms import Pseudonymizer

_LARGEST_BIGINT = 2**63 - 1
_LONGEST_TEXT = 500

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
        arrival = arrival_of(record, self._now)
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

    def _row(
        self, topic: str, record: LogRecord, arrival: datetime
    ) -> tuple[bool, dict[str, Any]]:
        """The row of a record, and whether it is one of events."""
        is_letter = topic == DEADLETTERS
        found = record_fields(record) if is_letter else event_fields(record, arrival)
        # What of a record that fits nothing may be kept, masked.
        fields: dict[str, Any] = {}
        row: dict[str, Any] | Rejection
        if isinstance(found, Rejection):
            row = found
        elif is_letter:
            row = self._deadletter_row(found)
        else:
            fields = found
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

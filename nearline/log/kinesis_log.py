"""Amazon Kinesis Data Streams (or what speaks its API) as the event log.

A topic is a stream, a partition a shard, an offset a record's sequence number: large,
increasing within a shard, and never consecutive. What Kinesis does not have, and what
stands in for it:

- *Order.* A request to put records may have single ones refused (a shard takes 1 MiB or
  1000 records a second); they are put again and then stand behind younger records of
  their key. Only then is the order of a key lost. One record of a key a request would
  keep it always and cost a round trip for each event of a visitor.
- *Positions* of consumers lie in a SQLite file of this home.
- *Ends.* Nothing tells the last sequence number of an open shard: `ends` reads on from
  the last one known here to the tip.
- *Resharding.* A shard that was split or merged stays a partition until its last record
  has expired; its successors are partitions of their own.
- *Retention* is the stream's own setting.

https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    ParamValidationError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from nearline.errors import NearlineError
from nearline.log.kinesis_positions import KinesisPositions
from nearline.log.protocol import LogRecord, LogUnavailableError, NewRecord
from nearline.settings import Settings

_MOST_RECORDS_A_REQUEST = 500
_MOST_BYTES_A_REQUEST = 5 * 1024 * 1024
_MOST_BYTES_A_RECORD = 1024 * 1024
_MOST_KEY_CHARACTERS = 256
_MOST_RECORDS_A_READ = 10_000

_ITERATORS_KEPT = 256
# Kinesis' own limit is five minutes.
_ITERATOR_SECONDS = 240

# A shard answers five reads a second.
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.5

# Where `ends` looks first in a shard of which nothing is known: a busy shard shows its tip
# among the last seconds, a quiet one is empty up to it.
_LOOK_BACK_SECONDS = (10, 1_000, 100_000)

# Codes of answers after which the same request may succeed.
_PASSING = {
    "InternalFailure",
    "InternalFailureException",
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestTimeout",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
}


class KinesisLog:
    """One topic in one stream, made at first use."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._settings = settings
        self._stream = f"{settings.kinesis_stream_prefix}{topic}"
        self._timeout_seconds = settings.log_timeout_seconds
        self._positions = KinesisPositions(
            settings.log / "kinesis-positions.sqlite", settings.log_timeout_seconds
        )
        self._lock = threading.Lock()
        self._client: Any = None
        # Told by `_find_stream`; None until the stream is known to be there.
        self._stream_arn: str | None = None
        self._iterators: dict[tuple[int, int], tuple[str, float]] = {}
        self._last_offsets: dict[int, int] = {}

    def append(self, records: Sequence[NewRecord]) -> None:
        """As the Protocol says.

        Raises:
            NearlineError: a record that Kinesis never takes; none was appended.
        """
        for record in records:
            _check_fits(record)
        deadline = time.monotonic() + self._timeout_seconds
        with self._explained():
            for part in _parts(records):
                self._put(part, deadline)

    def partitions(self) -> list[int]:
        with self._explained():
            return sorted(self._shards())

    def read(self, partition: int, start: int, limit: int) -> list[LogRecord]:
        """As the Protocol says; costs most where `start` was neither reached by reading
        on here nor is next to a record: the shard is then read from its beginning."""
        deadline = time.monotonic() + self._timeout_seconds
        with self._explained():
            iterator: str | None = self._kept_iterator(partition, start)
            if iterator is None:
                iterator = self._iterator_from(partition, start)
            records: list[LogRecord] = []
            while iterator is not None and not records:
                try:
                    page, iterator, at_tip = self._page(partition, iterator, limit)
                except ClientError as problem:
                    if _code(problem) != "ExpiredIteratorException":
                        raise
                    iterator = self._iterator_from(partition, start)
                    continue
                records = [record for record in page if record.offset >= start]
                if at_tip or time.monotonic() > deadline:
                    break
            if iterator is not None:
                following = records[-1].offset + 1 if records else start
                self._keep_iterator(partition, following, iterator)
            return records

    def ends(self) -> Mapping[int, int]:
        """As the Protocol says. Reads what was appended since it was asked last, or since
        a consumer of this home committed; where neither was, the last records."""
        with self._explained():
            shards = self._shards()
            committed = self._positions.furthest(self._arn())
            return {
                partition: self._end(partition, last, committed.get(partition, 0))
                for partition, last in sorted(shards.items())
            }

    def position(self, consumer: str) -> Mapping[int, int]:
        with self._explained():
            return self._positions.read(self._arn(), consumer)

    def commit(self, consumer: str, position: Mapping[int, int]) -> None:
        with self._explained():
            self._positions.advance(self._arn(), consumer, position)

    def remove_before(self, position: Mapping[int, int]) -> int:
        return 0

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = self._stream_arn = None
            self._iterators.clear()
        self._positions.close()

    def _put(self, records: Sequence[NewRecord], deadline: float) -> None:
        left = list(records)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            answer = self._call(
                "put_records",
                deadline,
                StreamName=self._known_stream(),
                Records=[
                    {"PartitionKey": record.key, "Data": record.value}
                    for record in left
                ],
            )
            refused = []
            for record, result in zip(left, answer["Records"], strict=True):
                if result.get("ErrorCode"):
                    refused.append(record)
                else:
                    self._note_offset(
                        _partition(result["ShardId"]), int(result["SequenceNumber"])
                    )
            if not refused:
                return
            if time.monotonic() + pause > deadline:
                raise LogUnavailableError(
                    f"the event log, stream {self._stream}, refused {len(refused)} of "
                    f"{len(records)} records until the time was over: add shards"
                )
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            left = refused

    def _end(self, partition: int, last_of_closed: int | None, committed: int) -> int:
        if last_of_closed is not None:
            return last_of_closed + 1
        known = max(self._last_offsets.get(partition, 0), committed - 1)
        if known > 0:
            self._read_to_tip(partition, self._iterator_from(partition, known + 1))
            return max(self._last_offsets.get(partition, 0), known) + 1
        now = time.time()
        for seconds in _LOOK_BACK_SECONDS:
            try:
                iterator = self._new_iterator(
                    partition, "AT_TIMESTAMP", Timestamp=now - seconds
                )
            except ClientError as problem:
                # This machine's clock is ahead: the moment is yet to come there.
                if _code(problem) != "InvalidArgumentException":
                    raise
                continue
            self._read_to_tip(partition, iterator)
            if partition in self._last_offsets:
                return self._last_offsets[partition] + 1
        self._read_to_tip(partition, self._new_iterator(partition, "TRIM_HORIZON"))
        return self._last_offsets.get(partition, 0) + 1

    def _read_to_tip(self, partition: int, iterator: str) -> None:
        going_on: str | None = iterator
        at_tip = False
        while going_on is not None and not at_tip:
            _, going_on, at_tip = self._page(partition, going_on, _MOST_RECORDS_A_READ)

    def _page(
        self, partition: int, iterator: str, limit: int
    ) -> tuple[list[LogRecord], str | None, bool]:
        """Records, the iterator that goes on (None at the end of a closed shard), and
        whether nothing more was there."""
        answer = self._call(
            "get_records",
            time.monotonic() + self._timeout_seconds,
            ShardIterator=iterator,
            Limit=min(limit, _MOST_RECORDS_A_READ),
        )
        records = [
            LogRecord(
                partition,
                int(record["SequenceNumber"]),
                round(record["ApproximateArrivalTimestamp"].timestamp() * 1000),
                record["PartitionKey"],
                record["Data"],
            )
            for record in answer["Records"]
        ]
        if records:
            self._note_offset(partition, records[-1].offset)
        # A page may be empty on the way to records that came much later.
        at_tip = not records and not answer.get("MillisBehindLatest", 0)
        return records, answer.get("NextShardIterator"), at_tip

    def _iterator_from(self, partition: int, start: int) -> str:
        if start > 1:
            # Kinesis knows the numbers of its records only; on from the last one read is
            # the usual case, again from a record itself the other.
            for kind, number in (
                ("AFTER_SEQUENCE_NUMBER", start - 1),
                ("AT_SEQUENCE_NUMBER", start),
            ):
                try:
                    return self._new_iterator(
                        partition, kind, StartingSequenceNumber=str(number)
                    )
                except ClientError as problem:
                    if _code(problem) != "InvalidArgumentException":
                        raise
        return self._new_iterator(partition, "TRIM_HORIZON")

    def _new_iterator(self, partition: int, kind: str, **place: Any) -> str:
        answer = self._call(
            "get_shard_iterator",
            time.monotonic() + self._timeout_seconds,
            StreamName=self._known_stream(),
            ShardId=f"shardId-{partition:012d}",
            ShardIteratorType=kind,
            **place,
        )
        return str(answer["ShardIterator"])

    def _kept_iterator(self, partition: int, start: int) -> str | None:
        with self._lock:
            iterator, kept_at = self._iterators.pop((partition, start), (None, 0.0))
        fresh = time.monotonic() - kept_at < _ITERATOR_SECONDS
        return iterator if fresh else None

    def _keep_iterator(self, partition: int, start: int, iterator: str) -> None:
        with self._lock:
            self._iterators[partition, start] = iterator, time.monotonic()
            if len(self._iterators) > _ITERATORS_KEPT:
                del self._iterators[next(iter(self._iterators))]

    def _note_offset(self, partition: int, offset: int) -> None:
        with self._lock:
            self._last_offsets[partition] = max(
                offset, self._last_offsets.get(partition, 0)
            )

    def _shards(self) -> dict[int, int | None]:
        """The last sequence number of each shard; None while it is open."""
        shards: dict[int, int | None] = {}
        request = {"StreamName": self._known_stream()}
        while True:
            answer = self._call(
                "list_shards", time.monotonic() + self._timeout_seconds, **request
            )
            for shard in answer["Shards"]:
                last = shard["SequenceNumberRange"].get("EndingSequenceNumber")
                shards[_partition(shard["ShardId"])] = (
                    None if last is None else int(last)
                )
            if not answer.get("NextToken"):
                return shards
            request = {"NextToken": answer["NextToken"]}

    def _known_stream(self) -> str:
        self._arn()
        return self._stream

    def _arn(self) -> str:
        arn = self._stream_arn
        if arn is None:
            arn = self._stream_arn = self._find_stream()
        return arn

    def _find_stream(self) -> str:
        """The stream's name in full, once it can be used; made if it is missing."""
        deadline = time.monotonic() + self._timeout_seconds
        while True:
            try:
                stream = self._call(
                    "describe_stream_summary", deadline, StreamName=self._stream
                )["StreamDescriptionSummary"]
            except ClientError as problem:
                if _code(problem) != "ResourceNotFoundException":
                    raise
                self._make_stream(deadline)
            else:
                if stream["StreamStatus"] in ("ACTIVE", "UPDATING"):
                    return str(stream["StreamARN"])
            if time.monotonic() > deadline:
                raise LogUnavailableError(
                    f"the event log, stream {self._stream}, is still being made"
                )
            time.sleep(_LONGEST_PAUSE_SECONDS)

    def _make_stream(self, deadline: float) -> None:
        try:
            self._call(
                "create_stream",
                deadline,
                StreamName=self._stream,
                ShardCount=self._settings.log_partitions,
            )
        except ClientError as problem:
            # Another process was faster.
            if _code(problem) != "ResourceInUseException":
                raise

    def _call(self, operation: str, deadline: float, **request: Any) -> Any:
        """One request, again and again until `deadline` while failures may pass."""
        client = self._connected()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return getattr(client, operation)(**request)
            except (ClientError, HTTPClientError, NoConnectionError) as problem:
                lasting = isinstance(problem, ClientError) and (
                    _code(problem) not in _PASSING
                )
                if lasting or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                # A session of its own: boto3's default one is not for several threads.
                self._client = boto3.session.Session().client(
                    "kinesis",
                    region_name=self._settings.kinesis_region,
                    endpoint_url=self._settings.kinesis_endpoint_url,
                    config=Config(
                        connect_timeout=self._timeout_seconds,
                        read_timeout=self._timeout_seconds,
                        # `_call` tries again, and knows when to end.
                        retries={"mode": "standard", "total_max_attempts": 1},
                        max_pool_connections=32,
                    ),
                )
            return self._client

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, sqlite3.Error, OSError) as problem:
            if isinstance(problem, ClientError) and (
                _code(problem) == "ResourceNotFoundException"
            ):
                self._forget_stream()
            raise LogUnavailableError(
                f"the event log, stream {self._stream}, cannot be used now: "
                f"{_reason(problem)}"
            ) from problem

    def _forget_stream(self) -> None:
        """It was removed: the next call finds it anew, or makes it."""
        with self._lock:
            self._stream_arn = None
            self._iterators.clear()
            self._last_offsets.clear()


def _parts(records: Sequence[NewRecord]) -> Iterator[list[NewRecord]]:
    """Records in order, in parts that one request may carry."""
    part: list[NewRecord] = []
    part_size = 0
    for record in records:
        size = _size(record)
        if part and (
            len(part) == _MOST_RECORDS_A_REQUEST
            or part_size + size > _MOST_BYTES_A_REQUEST
        ):
            yield part
            part, part_size = [], 0
        part.append(record)
        part_size += size
    if part:
        yield part


def _check_fits(record: NewRecord) -> None:
    if not 1 <= len(record.key) <= _MOST_KEY_CHARACTERS:
        raise NearlineError(
            f"a record's key has {len(record.key)} characters; Kinesis takes 1 to "
            f"{_MOST_KEY_CHARACTERS}"
        )
    if _size(record) > _MOST_BYTES_A_RECORD:
        raise NearlineError(
            f"a record has {_size(record)} bytes with its key; Kinesis takes "
            f"{_MOST_BYTES_A_RECORD}: send less in one event"
        )


def _size(record: NewRecord) -> int:
    return len(record.key.encode()) + len(record.value)


def _partition(shard_id: str) -> int:
    return int(shard_id.removeprefix("shardId-"))


def _code(problem: ClientError) -> str:
    return str(problem.response.get("Error", {}).get("Code", ""))


def _reason(problem: Exception) -> str:
    # The text of a refused parameter quotes it, and may quote a record.
    if isinstance(problem, ClientError):
        return _code(problem)
    if isinstance(problem, ParamValidationError):
        return type(problem).__name__
    return str(problem)

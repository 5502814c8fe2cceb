"""The event log on Apache Kafka: one topic, as many partitions as it was made with.

Records of one key go to one partition (librdkafka's `murmur2_random`, as Java clients
do). The producer is idempotent and waits for all in-sync replicas, so what is durable is
what the cluster's replication makes of it. Named positions are the offsets of a consumer
group; nobody subscribes, so there is no rebalancing. Retention is the topic's own.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from nearline.log.protocol import LogRecord, LogUnavailableError, NewRecord
from nearline.settings import Settings

# librdkafka gives up on a message before the caller does: what the caller was told is
# lost must not appear a minute later, on its own.
_GIVE_UP_EARLIER_SECONDS = 1.0
_POLL_SECONDS = 0.05
# A topic just made, or a broker just back, has no leader for a moment.
_SETTLING = {
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_LARGEST_RECORD_BYTES = 8 * 1024 * 1024


class KafkaLog:
    """One topic of a Kafka cluster, `<prefix><topic>`."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.topic = topic
        self._name = f"{settings.kafka_topic_prefix}{topic}"
        self._timeout_seconds = settings.log_timeout_seconds
        self._partition_count = settings.log_partitions
        self._common: dict[str, str | int | float | bool] = {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            # Errors reach the caller as exceptions; the library's own lines say the same.
            "log_level": 0,
            "reconnect.backoff.max.ms": 1_000,
            "topic.metadata.refresh.interval.ms": 5_000,
        }
        self._lock = threading.Lock()
        self._reading_lock = threading.Lock()
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None
        self._admin_client: AdminClient | None = None
        self._reading_from: tuple[int, int] | None = None
        self._is_made = False

    def append(self, records: Sequence[NewRecord]) -> None:
        if not records:
            return
        producer = self._opened_producer()
        outcome = _Outcome(len(records))
        end = time.monotonic() + self._timeout_seconds
        try:
            with _explained("append to"):
                for record in records:
                    self._produce(producer, record, outcome, end)
            outcome.wait_until(end)
        except LogUnavailableError as problem:
            self._recover(producer, problem.__cause__)
            raise

    def partitions(self) -> list[int]:
        with _explained("ask"), self._reading_lock:
            return self._partitions(self._opened_consumer())

    def read(self, partition: int, start: int, limit: int) -> list[LogRecord]:
        with _explained("read from"), self._reading_lock:
            consumer = self._opened_consumer()
            low, high = self._watermarks(consumer, partition)
            start = max(start, low)
            if start >= high:
                return []
            if self._reading_from != (partition, start):
                consumer.assign([TopicPartition(self._name, partition, start)])
            self._reading_from = None
            records: list[LogRecord] = []
            # What retention removes meanwhile, and what compaction or transactions left
            # out, has no record: the position tells that the end is reached.
            end = time.monotonic() + self._timeout_seconds
            wanted = min(limit, high - start)
            while len(records) < wanted:
                messages = consumer.consume(
                    wanted - len(records), timeout=_POLL_SECONDS
                )
                records.extend(_record(message) for message in _sound(messages))
                if records and records[-1].offset >= high - 1:
                    break
                if time.monotonic() > end:
                    if records:
                        break
                    raise LogUnavailableError("Kafka did not give records in time")
            self._reading_from = (partition, records[-1].offset + 1)
            return records

    def ends(self) -> Mapping[int, int]:
        with _explained("ask"), self._reading_lock:
            consumer = self._opened_consumer()
            return {
                partition: self._watermarks(consumer, partition)[1]
                for partition in self._partitions(consumer)
            }

    def position(self, consumer: str) -> Mapping[int, int]:
        with _explained("ask"):
            found = self._admin().list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(self._group(consumer))]
            )
            (answer,) = found.values()
            offsets = (
                answer.result(timeout=self._timeout_seconds).topic_partitions or []
            )
            return {
                each.partition: each.offset
                for each in offsets
                if each.topic == self._name and each.offset >= 0
            }

    def commit(self, consumer: str, position: Mapping[int, int]) -> None:
        now = self.position(consumer)
        ahead = [
            TopicPartition(self._name, partition, offset)
            for partition, offset in position.items()
            if offset > now.get(partition, -1)
        ]
        if not ahead:
            return
        with _explained("commit to"):
            moved = self._admin().alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(self._group(consumer), ahead)]
            )
            (answer,) = moved.values()
            answer.result(timeout=self._timeout_seconds)

    def remove_before(self, position: Mapping[int, int]) -> int:
        return 0

    def close(self) -> None:
        with self._lock, self._reading_lock:
            if self._producer is not None:
                # One that failed for good refuses even this; it holds nothing any more.
                with suppress(KafkaException):
                    self._producer.flush(self._timeout_seconds)
            if self._consumer is not None:
                self._consumer.close()
            self._producer = self._consumer = self._admin_client = None

    def _produce(
        self, producer: Producer, record: NewRecord, outcome: "_Outcome", end: float
    ) -> None:
        while True:
            try:
                producer.produce(
                    self._name,
                    value=record.value,
                    key=record.key.encode(),
                    on_delivery=outcome.note,
                )
            except BufferError:
                # Back-pressure: the local queue drains as the broker confirms.
                if time.monotonic() > end:
                    raise LogUnavailableError(
                        "Kafka takes records too slowly"
                    ) from None
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _opened_producer(self) -> Producer:
        with self._lock:
            self._make_topic()
            if self._producer is None:
                give_up = max(self._timeout_seconds - _GIVE_UP_EARLIER_SECONDS, 0.5)
                self._producer = Producer(
                    self._common
                    | {
                        "enable.idempotence": True,
                        "acks": "all",
                        "partitioner": "murmur2_random",
                        "message.timeout.ms": int(give_up * 1000),
                        "message.max.bytes": _LARGEST_RECORD_BYTES,
                        # Requests wait for their answer, so lingering only delays them.
                        "linger.ms": 1,
                    }
                )
                threading.Thread(
                    target=self._serve_reports,
                    args=(self._producer,),
                    name="kafka-reports",
                    daemon=True,
                ).start()
            return self._producer

    def _serve_reports(self, producer: Producer) -> None:
        """One thread hands out what the broker confirmed. If each appender polled, one
        would take the report that another sleeps for."""
        while self._producer is producer or len(producer):
            try:
                producer.poll(_POLL_SECONDS)
            except KafkaException as problem:
                self._recover(producer, problem)
                time.sleep(_POLL_SECONDS)

    def _recover(self, producer: Producer, problem: BaseException | None) -> None:
        """After a failure: the topic may be gone, the producer beyond repair."""
        is_fatal = isinstance(problem, KafkaException) and (
            problem.args[0].fatal() or problem.args[0].code() == KafkaError._FATAL
        )
        with self._lock:
            self._is_made = False
            if is_fatal and self._producer is producer:
                self._producer = None

    def _opened_consumer(self) -> Consumer:
        if self._consumer is None:
            with self._lock:
                self._make_topic()
            self._consumer = Consumer(
                self._common
                | {
                    "group.id": f"{self._name}-readers",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "fetch.wait.max.ms": 50,
                }
            )
        return self._consumer

    def _watermarks(self, consumer: Consumer, partition: int) -> tuple[int, int]:
        end = time.monotonic() + self._timeout_seconds
        while True:
            try:
                marks = consumer.get_watermark_offsets(
                    TopicPartition(self._name, partition), timeout=self._timeout_seconds
                )
            except KafkaException as problem:
                is_settling = problem.args[0].code() in _SETTLING
                if not is_settling or time.monotonic() > end:
                    raise
                time.sleep(_POLL_SECONDS)
                continue
            if marks is None:
                raise LogUnavailableError("Kafka did not tell how far the topic goes")
            return int(marks[0]), int(marks[1])

    def _partitions(self, consumer: Consumer) -> list[int]:
        topics = consumer.list_topics(self._name, timeout=self._timeout_seconds).topics
        return sorted(topics[self._name].partitions)

    def _make_topic(self) -> None:
        """Makes the topic where it is missing; the caller holds the lock."""
        if self._is_made:
            return
        with _explained("reach"):
            admin = self._admin()
            topics = admin.list_topics(timeout=self._timeout_seconds).topics
            if self._name not in topics:
                # Replication is the cluster's own default.
                (made,) = admin.create_topics(
                    [
                        NewTopic(
                            self._name,
                            num_partitions=self._partition_count,
                            replication_factor=-1,
                            config={"max.message.bytes": str(_LARGEST_RECORD_BYTES)},
                        )
                    ]
                ).values()
                try:
                    made.result(timeout=self._timeout_seconds)
                except KafkaException as problem:
                    # Somebody else may have made it in the meantime.
                    if problem.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                        raise
        self._is_made = True

    def _admin(self) -> AdminClient:
        # Held: a client that is collected never answers what it was asked.
        if self._admin_client is None:
            self._admin_client = AdminClient(self._common)
        return self._admin_client

    def _group(self, consumer: str) -> str:
        return f"{self._name}-{consumer}"


class _Outcome:
    """What became of the records of one append; told by the thread that polls, and by
    the one that closes."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._open_count = count
        self._complete = threading.Event()
        self._problem: KafkaError | None = None

    def note(self, problem: KafkaError | None, message: Message) -> None:
        with self._lock:
            self._open_count -= 1
            self._problem = self._problem or problem
            if self._open_count == 0:
                self._complete.set()

    def wait_until(self, end: float) -> None:
        if not self._complete.wait(max(end - time.monotonic(), 0)):
            raise LogUnavailableError("Kafka did not confirm the records in time")
        if self._problem is not None:
            raise LogUnavailableError(
                f"Kafka refused records: {self._problem.str()}"
            ) from KafkaException(self._problem)


@contextmanager
def _explained(action: str) -> Iterator[None]:
    try:
        yield
    # Futures of the admin client end in TimeoutError.
    except (KafkaException, TimeoutError) as problem:
        raise LogUnavailableError(f"cannot {action} Kafka now: {problem}") from problem


def _sound(messages: Sequence[Message]) -> Iterator[Message]:
    for message in messages:
        error = message.error()
        if error is None:
            yield message
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)


def _record(message: Message) -> LogRecord:
    kind, moment = message.timestamp()
    key = message.key()
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    return LogRecord(
        partition=partition,
        offset=offset,
        appended_at=0 if kind == TIMESTAMP_NOT_AVAILABLE else moment,
        key="" if key is None else bytes(key).decode(errors="replace"),
        value=message.value() or b"",
    )

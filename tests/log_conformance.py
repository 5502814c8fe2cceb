"""What every event log does, as tests: each backend runs them by a subclass.

A subclass gives the fixture `settings` (a log of its own for each test: a home, a prefix)
and may say how many records its tests can afford.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from nearline.log import EventLog, LogRecord, NewRecord, open_log
from nearline.settings import Settings
from tests.log_appender import numbered_record, record_id, start_appender

OpenLog = Callable[[str], EventLog]


def read_all(log: EventLog, limit: int = 1000) -> list[LogRecord]:
    """All records, partition after partition, up to the log's ends."""
    records = []
    for partition, end in log.ends().items():
        start = 0
        while start < end:
            page = log.read(partition, start, limit)
            if not page:
                break
            assert len(page) <= limit
            records += page
            start = page[-1].offset + 1
    return records


def as_appended(records: Iterable[LogRecord]) -> Counter[NewRecord]:
    return Counter(NewRecord(record.key, record.value) for record in records)


def values_by_key(records: Iterable[LogRecord]) -> dict[str, list[bytes]]:
    """In the order of each partition; a key in two partitions fails."""
    values: dict[str, list[bytes]] = {}
    partitions: dict[str, int] = {}
    for record in records:
        values.setdefault(record.key, []).append(record.value)
        assert partitions.setdefault(record.key, record.partition) == record.partition
    return values


class LogConformance:
    """Tests of one backend. `Test...` subclasses are collected, this class is not."""

    appends_a_thread = 40
    kill_rounds = 8

    @pytest.fixture
    def settings(self) -> Settings:
        raise NotImplementedError("a subclass names the log under test")

    @pytest.fixture
    def open(self, settings: Settings) -> Iterator[OpenLog]:
        """Opens logs of topics, each call another instance, and closes them."""
        opened: list[EventLog] = []

        def open_one(topic: str = "events") -> EventLog:
            log = open_log(settings, topic)
            opened.append(log)
            return log

        yield open_one
        for log in opened:
            log.close()

    def test_new_log_has_partitions_and_no_records(self, open: OpenLog) -> None:
        log = open("events")
        partitions = log.partitions()
        assert partitions == sorted(set(partitions))
        assert partitions
        assert sorted(log.ends()) == partitions
        assert [log.read(partition, 0, 10) for partition in partitions] == [
            [] for _ in partitions
        ]

    def test_records_are_read_as_they_were_appended(self, open: OpenLog) -> None:
        log = open("events")
        before = time.time() * 1000
        appended = [
            NewRecord("v_1", b"{}"),
            NewRecord("Ünï/cødé 鍵 🔑", "välue ☃".encode()),
            NewRecord("v_1", bytes(range(256))),
            NewRecord("k" * 200, b""),
            NewRecord("v_2", b"x"),
        ]
        log.append(appended[:3])
        log.append(appended[3:])
        records = read_all(log)
        assert as_appended(records) == Counter(appended)
        # Clocks of two machines may differ; a unit mistaken differs by far more.
        minute = 60_000
        for record in records:
            assert before - minute < record.appended_at < before + 5 * minute

    def test_appending_nothing_appends_nothing(self, open: OpenLog) -> None:
        log = open("events")
        log.append([])
        assert read_all(log) == []

    def test_records_of_a_key_keep_their_order_in_one_partition(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        keys = [f"v_{number}" for number in range(7)]
        appended = [
            NewRecord(keys[number % len(keys)], str(number).encode())
            for number in range(140)
        ]
        for start in range(0, len(appended), 20):
            log.append(appended[start : start + 20])
        values = values_by_key(read_all(log, limit=13))
        assert values == {
            key: [record.value for record in appended if record.key == key]
            for key in keys
        }

    def test_offsets_increase_strictly_and_ends_are_above_them(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        log.append([numbered_record("one", number) for number in range(30)])
        log.append([numbered_record("two", number) for number in range(30)])
        ends = log.ends()
        for partition in log.partitions():
            offsets = [record.offset for record in log.read(partition, 0, 100)]
            assert all(first < second for first, second in pairwise(offsets))
            assert all(0 <= offset < ends[partition] for offset in offsets)

    def test_reading_goes_on_from_any_record(self, open: OpenLog) -> None:
        log, other = open("events"), open("events")
        log.append([numbered_record("r", number) for number in range(40)])
        for partition in log.partitions():
            records = log.read(partition, 0, 100)
            for place, record in enumerate(records):
                # At the record itself, after it, and by somebody who read nothing yet.
                assert (
                    log.read(partition, record.offset, 3)
                    == (records[place : place + 3])
                )
                assert (
                    other.read(partition, record.offset + 1, 3)
                    == (records[place + 1 : place + 4])
                )

    def test_reader_at_the_end_sees_what_comes_later(self, open: OpenLog) -> None:
        log, writer = open("events"), open("events")
        writer.append([numbered_record("early", number) for number in range(20)])
        ends = log.ends()
        for partition, end in ends.items():
            assert log.read(partition, end, 10) == []
        late = [numbered_record("late", number) for number in range(20)]
        writer.append(late)
        read = [
            record
            for partition, end in ends.items()
            for record in log.read(partition, end, 100)
        ]
        assert as_appended(read) == Counter(late)

    def test_ends_stay_or_rise(self, open: OpenLog) -> None:
        log, writer = open("events"), open("events")
        before = log.ends()
        for number in range(10):
            writer.append([numbered_record("r", number)])
            after = log.ends()
            assert after == writer.ends()
            assert all(after[partition] >= before[partition] for partition in before)
            assert after != before
            before = after
        assert log.ends() == before

    def test_topics_are_apart(self, open: OpenLog) -> None:
        events, deadletters = open("events"), open("deadletters")
        events.append([NewRecord("v_1", b"event")])
        deadletters.append([NewRecord("d_1", b"letter")])
        deadletters.commit("landing", {0: 5})
        assert [record.value for record in read_all(events)] == [b"event"]
        assert [record.value for record in read_all(deadletters)] == [b"letter"]
        assert events.position("landing") == {}

    def test_positions_are_named_and_outlive_the_one_who_committed(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        log.append([numbered_record("r", number) for number in range(30)])
        ends = dict(log.ends())
        assert log.position("landing") == {}
        log.commit("landing", ends)
        assert log.position("landing") == ends
        assert log.position("profiles") == {}
        log.commit("profiles", dict.fromkeys(ends, 1))
        log.close()
        reopened = open("events")
        assert reopened.position("landing") == ends
        assert reopened.position("profiles") == dict.fromkeys(ends, 1)

    def test_positions_never_move_backwards(self, open: OpenLog) -> None:
        log, other = open("events"), open("events")
        log.append([numbered_record("r", number) for number in range(30)])
        partition, end = max(log.ends().items(), key=lambda item: item[1])
        log.commit("landing", {partition: end})
        log.commit("landing", {partition: end - 1})
        other.commit("landing", {partition: 1})
        other.commit("landing", {})
        assert log.position("landing") == {partition: end}
        assert other.position("landing") == {partition: end}

    def test_large_values_arrive_whole(self, open: OpenLog) -> None:
        log = open("events")
        generator = random.Random(3)
        large = [
            NewRecord(f"v_{number}", generator.randbytes(200_000))
            for number in range(30)
        ]
        log.append(large)
        log.append([NewRecord("v_0", b"small")])
        assert as_appended(read_all(log)) == Counter(
            [*large, NewRecord("v_0", b"small")]
        )

    def test_many_records_in_one_append_arrive_in_order(self, open: OpenLog) -> None:
        log = open("events")
        many = [NewRecord("v_1", str(number).encode()) for number in range(2_500)]
        log.append(many)
        assert values_by_key(read_all(log)) == {
            "v_1": [record.value for record in many]
        }

    def test_appenders_in_threads_and_processes_lose_and_double_nothing(
        self, settings: Settings, open: OpenLog
    ) -> None:
        log = open("events")
        log.partitions()
        names = [f"thread{number}" for number in range(8)]
        together = 3

        def append_all(name: str) -> None:
            for number in range(0, self.appends_a_thread * together, together):
                log.append(
                    [numbered_record(name, number + step) for step in range(together)]
                )

        count = self.appends_a_thread * together
        appenders = [
            start_appender(settings, "events", f"process{number}", count, together)
            for number in range(2)
        ]
        with ThreadPoolExecutor(len(names)) as threads:
            list(threads.map(append_all, names))
        for appender in appenders:
            appender.communicate(timeout=120)
            assert appender.returncode == 0
        names += ["process0", "process1"]
        expected = [
            numbered_record(name, number) for name in names for number in range(count)
        ]
        records = read_all(log)
        assert as_appended(records) == Counter(expected)
        by_key: dict[str, list[bytes]] = {}
        for record in expected:
            by_key.setdefault(record.key, []).append(record.value)
        assert values_by_key(records) == by_key

    def test_readers_miss_nothing_while_others_append(self, open: OpenLog) -> None:
        log = open("events")
        partitions = log.partitions()
        count = self.appends_a_thread * 2
        written = threading.Event()

        def follow() -> list[LogRecord]:
            reader = open("events")
            starts = dict.fromkeys(partitions, 0)
            seen: list[LogRecord] = []
            while True:
                was_written = written.is_set()
                pages = [
                    reader.read(partition, start, 10)
                    for partition, start in starts.items()
                ]
                for page in pages:
                    seen += page
                    if page:
                        starts[page[-1].partition] = page[-1].offset + 1
                if was_written and not any(pages):
                    return seen

        with ThreadPoolExecutor(6) as threads:
            readers = [threads.submit(follow) for _ in range(2)]

            def append_all(name: str) -> None:
                for number in range(count):
                    log.append([numbered_record(name, number)])

            try:
                list(threads.map(append_all, ["a", "b", "c"]))
            finally:
                written.set()
        expected = Counter(
            numbered_record(name, number) for name in "abc" for number in range(count)
        )
        for reader in readers:
            assert as_appended(reader.result()) == expected

    def test_what_was_acknowledged_outlives_killed_appenders(
        self, settings: Settings, open: OpenLog
    ) -> None:
        generator = random.Random(11)
        acknowledged: list[str] = []
        for round_ in range(self.kill_rounds):
            appender = start_appender(settings, "events", f"round{round_}", together=3)
            assert appender.stdout is not None
            try:
                for _ in range(generator.randint(1, 40)):
                    acknowledged += appender.stdout.readline().split()
                # Anywhere within an append, not only right after an answer.
                time.sleep(generator.uniform(0, 0.01))
            finally:
                appender.kill()
            # A line that was cut off was acknowledged no less, but its ids are not whole.
            lines = appender.stdout.read().split("\n")
            acknowledged += [word for line in lines[:-1] for word in line.split()]
            appender.wait()
        records = read_all(open("events"))
        kept = Counter(record_id(record.value) for record in records)
        assert len(acknowledged) > self.kill_rounds
        assert [one for one in acknowledged if not kept[one]] == []
        assert [one for one, times in kept.items() if times > 1] == []
        for record in records:
            name, _, number = record_id(record.value).rpartition("-")
            assert NewRecord(record.key, record.value) == (
                numbered_record(name, int(number))
            )

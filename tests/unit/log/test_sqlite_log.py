"""The embedded log: what every log does, and what only a file does."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from nearline.log import LogUnavailableError, NewRecord
from nearline.log.sqlite_log import SqliteLog
from nearline.settings import Settings
from tests.log_appender import numbered_record, record_id, start_appender
from tests.log_conformance import LogConformance, OpenLog, as_appended, read_all

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("begin immediate")
print("locked", flush=True)
sys.stdin.read()
"""


class TestSqliteLog(LogConformance):
    appends_a_thread = 100

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(home=tmp_path)

    def test_has_one_partition(self, open: OpenLog) -> None:
        assert open("events").partitions() == [0]

    def test_retention_removes_what_is_below_and_tells_how_many(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        log.append([numbered_record("r", number) for number in range(10)])
        sixth = log.read(0, 0, 100)[5].offset
        assert log.remove_before({}) == 0
        assert log.remove_before({0: sixth}) == 5
        assert log.remove_before({0: sixth}) == 0
        # Whoever asks for what is gone gets the oldest that is left.
        assert [record_id(record.value) for record in log.read(0, 0, 2)] == [
            "r-5",
            "r-6",
        ]

    def test_retention_of_more_than_one_step_removes_all(self, open: OpenLog) -> None:
        log = open("events")
        log.append([NewRecord("v", b"x")] * 20_001)
        log.append([NewRecord("v", b"last")])
        last = log.ends()[0] - 1
        assert log.remove_before({0: last}) == 20_001
        assert [record.value for record in log.read(0, 0, 10)] == [b"last"]

    def test_offsets_are_never_used_again_even_when_all_records_are_gone(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        log.append([numbered_record("r", number) for number in range(10)])
        end = log.ends()[0]
        assert log.remove_before({0: end}) == 10
        log.close()
        log = open("events")
        assert log.ends() == {0: end}
        log.append([NewRecord("v", b"new")])
        assert [record.offset for record in log.read(0, 0, 10)] == [end]

    def test_append_of_several_records_is_in_the_log_whole_or_not_at_all(
        self, settings: Settings, open: OpenLog
    ) -> None:
        generator = random.Random(5)
        for round_ in range(6):
            appender = start_appender(settings, "events", f"r{round_}", together=50)
            assert appender.stdout is not None
            for _ in range(generator.randint(1, 20)):
                appender.stdout.readline()
            appender.kill()
            appender.communicate()
        kept = Counter(
            record_id(record.value).partition("-")[0]
            for record in read_all(open("events"))
        )
        assert len(kept) == 6
        assert [count for count in kept.values() if count % 50] == []

    def test_appends_that_meet_are_all_answered(self, open: OpenLog) -> None:
        log = open("events")
        # More than are committed together at once.
        count = 600
        ready = threading.Barrier(count)

        def append(number: int) -> None:
            ready.wait()
            log.append([numbered_record("r", number)])

        with ThreadPoolExecutor(count) as threads:
            list(threads.map(append, range(count)))
        assert as_appended(read_all(log)) == Counter(
            numbered_record("r", number) for number in range(count)
        )

    def test_record_that_cannot_be_kept_leaves_a_log_that_works(
        self, open: OpenLog
    ) -> None:
        log = open("events")
        with pytest.raises(UnicodeEncodeError):
            log.append([NewRecord("v", b"before"), NewRecord("\ud800", b"x")])
        assert read_all(log) == []
        log.append([NewRecord("v", b"after")])
        assert [record.value for record in read_all(log)] == [b"after"]

    def test_new_file_is_made_by_many_processes_at_once(
        self, settings: Settings, open: OpenLog
    ) -> None:
        for round_ in range(4):
            topic = f"topic{round_}"
            appenders = [
                start_appender(settings, topic, f"p{number}", count=1)
                for number in range(4)
            ]
            for appender in appenders:
                appender.communicate(timeout=60)
            assert [appender.returncode for appender in appenders] == [0] * 4
            assert len(read_all(open(topic))) == 4


@contextmanager
def locked_elsewhere(path: Path) -> Iterator[None]:
    locker = subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert locker.stdout is not None
    assert locker.stdout.readline() == "locked\n"
    try:
        yield
    finally:
        locker.kill()
        locker.communicate()


def test_log_locked_by_another_process_is_unavailable_until_it_lets_go(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.sqlite"
    with closing(SqliteLog(path, "events", timeout_seconds=0.2)) as log:
        log.append([NewRecord("v", b"before")])
        with locked_elsewhere(path):
            with pytest.raises(LogUnavailableError, match="locked"):
                log.append([NewRecord("v", b"refused")])
            with pytest.raises(LogUnavailableError, match="locked"):
                log.commit("landing", {0: 1})
            with pytest.raises(LogUnavailableError, match="locked"):
                log.remove_before({0: 100})
            # Readers do not wait for writers.
            assert [record.value for record in read_all(log)] == [b"before"]
        log.append([NewRecord("v", b"after")])
        assert [record.value for record in read_all(log)] == [b"before", b"after"]


def test_threads_that_wait_for_a_locked_log_are_all_told(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    with closing(SqliteLog(path, "events", timeout_seconds=0.2)) as log:
        log.append([NewRecord("v", b"before")])

        def append(number: int) -> str:
            try:
                log.append([numbered_record("r", number)])
            except LogUnavailableError:
                return "unavailable"
            return "kept"

        with locked_elsewhere(path), ThreadPoolExecutor(16) as threads:
            assert set(threads.map(append, range(16))) == {"unavailable"}
        assert append(16) == "kept"
        assert [record.value for record in read_all(log)] == [
            b"before",
            numbered_record("r", 16).value,
        ]


def test_log_locked_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    with closing(SqliteLog(path, "events", timeout_seconds=60)) as log:
        log.append([NewRecord("v", b"before")])
        with ThreadPoolExecutor(1) as thread:
            with locked_elsewhere(path):
                append = thread.submit(log.append, [NewRecord("v", b"after")])
            append.result()
        assert [record.value for record in read_all(log)] == [b"before", b"after"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda size: (0, b"This was a log once, until somebody wrote a letter. "),
        lambda size: (4096, b"\xff" * (size - 4096)),
    ],
    ids=["header", "pages"],
)
def test_damaged_file_is_a_log_unavailable(
    tmp_path: Path, harm: Callable[[int], tuple[int, bytes]]
) -> None:
    path = tmp_path / "events.sqlite"
    with closing(SqliteLog(path, "events", timeout_seconds=1)) as log:
        log.append([numbered_record("r", number) for number in range(500)])
    place, content = harm(path.stat().st_size)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)
    with closing(SqliteLog(path, "events", timeout_seconds=1)) as log:
        for call in (
            lambda: log.append([NewRecord("v", b"x")]),
            lambda: log.read(0, 0, 10),
            log.ends,
        ):
            with pytest.raises(LogUnavailableError, match=r"events\.sqlite"):
                call()


def test_folder_that_cannot_be_made_is_a_log_unavailable(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    log = SqliteLog(tmp_path / "log" / "events.sqlite", "events", timeout_seconds=1)
    with pytest.raises(LogUnavailableError, match="cannot be used now"):
        log.append([NewRecord("v", b"x")])
    (tmp_path / "log").unlink()
    log.append([NewRecord("v", b"x")])
    assert len(read_all(log)) == 1
    log.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_refuses_whole_appends_until_there_is_room(small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(400_000))
    path = small_disk / "events.sqlite"
    kept: list[NewRecord] = []
    refused = 0
    with closing(SqliteLog(path, "events", timeout_seconds=1)) as log:
        for round_ in range(40):
            records = [
                NewRecord(f"v_{round_}", bytes([number]) * 10_000)
                for number in range(3)
            ]
            try:
                log.append(records)
            except LogUnavailableError:
                refused += 1
            else:
                kept += records
        assert kept
        assert refused > 5
        assert as_appended(read_all(log)) == Counter(kept)
        filler.unlink()
        after = [NewRecord("v_after", b"x" * 10_000)] * 3
        log.append(after)
        assert as_appended(read_all(log)) == Counter(kept + after)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]


def test_log_on_a_disk_that_was_full_from_the_start_is_made_once_there_is_room(
    small_disk: Path,
) -> None:
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    with closing(
        SqliteLog(small_disk / "events.sqlite", "events", timeout_seconds=1)
    ) as log:
        with pytest.raises(LogUnavailableError, match="cannot be used now"):
            log.append([NewRecord("v", b"refused")])
        filler.unlink()
        log.append([NewRecord("v", b"kept")])
        assert [record.value for record in read_all(log)] == [b"kept"]

"""Decisions reach the log beside the requests; what cannot is counted."""

import asyncio
from pathlib import Path

from nearline.collector.writing import LogWriter
from nearline.decisions.decision_log import DecisionLog
from nearline.events import Event
from nearline.log import EVENTS, NewRecord, open_log
from nearline.settings import Settings


class Counts:
    def __init__(self) -> None:
        self.written = self.dropped = 0

    def log(self, settings: Settings, most_waiting: int = 100) -> DecisionLog:
        self.writer = LogWriter(settings)
        return DecisionLog(
            self.writer,
            most_waiting=most_waiting,
            on_written=self.note_written,
            on_dropped=self.note_dropped,
            pause_seconds=0.01,
        )

    def note_written(self, count: int) -> None:
        self.written += count

    def note_dropped(self, count: int) -> None:
        self.dropped += count


def record(number: int) -> NewRecord:
    return NewRecord("v_anna00001", str(number).encode())


def broken() -> NewRecord:
    Event.model_validate({})
    raise AssertionError("not reached")


def values(settings: Settings) -> list[bytes]:
    log = open_log(settings, EVENTS)
    try:
        return [one.value for one in log.read(0, 0, 10_000)]
    finally:
        log.close()


def test_all_that_waits_is_written_in_order_at_the_end(tmp_path: Path) -> None:
    settings, counts = Settings(home=tmp_path), Counts()

    async def write() -> None:
        log = counts.log(settings, most_waiting=2_000)
        for number in range(1_200):
            assert log.add(lambda number=number: record(number))  # type: ignore[misc]
        await log.close()
        await counts.writer.close()

    asyncio.run(write())
    assert values(settings) == [str(number).encode() for number in range(1_200)]
    assert (counts.written, counts.dropped) == (1_200, 0)


def test_beyond_its_bound_decisions_are_dropped_and_counted(tmp_path: Path) -> None:
    settings, counts = Settings(home=tmp_path), Counts()

    async def write() -> None:
        log = counts.log(settings, most_waiting=3)
        taken = [log.add(lambda: record(1)) for _ in range(5)]
        assert taken == [True, True, True, False, False]
        await log.close()
        await counts.writer.close()

    asyncio.run(write())
    assert (counts.written, counts.dropped) == (3, 2)


def test_what_breaks_the_contract_is_left_out_and_the_rest_written(
    tmp_path: Path,
) -> None:
    settings, counts = Settings(home=tmp_path), Counts()

    async def write() -> None:
        log = counts.log(settings)
        for make in (lambda: record(1), broken, lambda: record(2)):
            log.add(make)
        await log.close()
        await counts.writer.close()

    asyncio.run(write())
    assert values(settings) == [b"1", b"2"]
    assert (counts.written, counts.dropped) == (2, 1)


def test_a_log_that_stays_away_holds_the_end_up_for_so_long_only(
    tmp_path: Path,
) -> None:
    (tmp_path / "log").write_text("no folder")
    counts = Counts()

    async def write() -> None:
        log = counts.log(Settings(home=tmp_path, log_timeout_seconds=0.1))
        log.add(lambda: record(1))
        log.add(lambda: record(2))
        await log.close(0.05)

    asyncio.run(write())
    assert (counts.written, counts.dropped) == (0, 2)

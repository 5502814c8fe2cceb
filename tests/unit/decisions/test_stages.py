"""A stage answers in time or says why not."""

import asyncio
import threading

import pytest

from nearline.decisions.stages import Stage, StageError


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def failure_of(stage: Stage, function: object) -> str:
    with pytest.raises(StageError) as told:
        asyncio.run(stage.run(function))  # type: ignore[arg-type]
    return told.value.failure


def test_a_result_in_time_is_given_and_measured() -> None:
    seen: list[float] = []
    stage = Stage("read", 20, threads=1, most_waiting=2, observe=seen.append)
    assert asyncio.run(stage.run(lambda: 7)) == 7
    assert len(seen) == 1


def test_what_fails_is_told_without_what_it_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    who = "@".join(["jane", "mail.example"])

    def fail() -> None:
        raise ValueError(who)

    stage = Stage("read", 20, threads=1, most_waiting=2)
    assert failure_of(stage, fail) == "failed"
    assert "ValueError" in caplog.text
    assert who not in caplog.text


def test_what_hangs_is_left_and_then_left_alone_for_a_second() -> None:
    ticks, free = Ticks(), threading.Event()
    stage = Stage("read", 0.01, threads=1, most_waiting=100, ticks=ticks)
    calls: list[int] = []

    def hang() -> None:
        calls.append(1)
        free.wait()

    for _ in range(5):
        assert failure_of(stage, hang) == "slow"
    # The thread is held by the first; the four behind it were never begun.
    assert calls == [1]
    free.set()
    assert failure_of(stage, lambda: 7) == "slow"
    ticks.now += 1.5
    patient = 0
    while True:  # the thread may need a moment to come back
        try:
            assert asyncio.run(stage.run(lambda: 7)) == 7
            break
        except StageError:
            patient += 1
            ticks.now += 1.5
            assert patient < 1_000


def test_more_than_may_wait_are_turned_away_at_once() -> None:
    free = threading.Event()
    stage = Stage("read", 20, threads=1, most_waiting=2)

    async def ask() -> None:
        waiting = [asyncio.create_task(stage.run(free.wait)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(StageError) as told:
            await stage.run(lambda: True)
        assert told.value.failure == "busy"
        free.set()
        assert await asyncio.gather(*waiting) == [True, True]
        assert await stage.run(lambda: 7) == 7

    asyncio.run(ask())

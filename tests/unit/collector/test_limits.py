"""The bucket of tokens and the window of recent events."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.collector.duplicates import RecentEvents, read_tail
from nearline.collector.rates import TokenBucket
from nearline.log import NewRecord, open_log
from nearline.settings import Settings


def test_a_full_bucket_gives_its_burst_and_then_what_flows_in() -> None:
    bucket = TokenBucket(per_second=10, burst=20, now=100.0)
    assert bucket.take(20, 100.0) == 0
    assert bucket.take(5, 100.0) == pytest.approx(0.5)
    assert bucket.take(5, 100.5) == 0
    assert bucket.take(1, 100.5) == pytest.approx(0.1)


def test_a_batch_larger_than_the_bucket_passes_when_it_is_full() -> None:
    bucket = TokenBucket(per_second=10, burst=20, now=0.0)
    assert bucket.take(50, 0.0) == 0
    # 30 tokens in debt: 20 more must flow in on top before the next batch of 50.
    assert bucket.take(50, 1.0) == pytest.approx(4.0)
    assert bucket.take(50, 5.0) == 0


def test_a_clock_that_goes_backwards_gives_nothing_away() -> None:
    bucket = TokenBucket(per_second=10, burst=10, now=50.0)
    assert bucket.take(10, 50.0) == 0
    assert bucket.take(1, 40.0) > 0


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0, 3)), max_size=60))
def test_never_more_passes_than_burst_and_flow(
    requests: list[tuple[int, float]],
) -> None:
    bucket = TokenBucket(per_second=7, burst=30, now=0.0)
    now, passed = 0.0, 0
    for count, pause in requests:
        now += pause
        if bucket.take(count, now) == 0:
            passed += count
    assert passed <= 30 + 7 * now + 1e-6


def test_the_oldest_event_leaves_the_window_first() -> None:
    recent = RecentEvents(size=2)
    recent.add([("web", "a"), ("web", "b"), ("web", "c")])
    assert ("web", "a") not in recent
    assert ("web", "b") in recent
    assert ("app", "b") not in recent
    assert len(recent) == 2


def test_the_tail_of_the_log_is_read_and_strangers_records_are_passed_over(
    tmp_path: Path,
) -> None:
    log = open_log(Settings(home=tmp_path), "events")
    values = [
        orjson.dumps({"source": "web", "event_id": f"e_{n}"}) for n in range(5_000)
    ]
    log.append([NewRecord("v", value) for value in values])
    log.append(
        [NewRecord("v", b"not JSON"), NewRecord("v", b"[1]"), NewRecord("v", b"{}")]
    )
    assert read_tail(log) == [("web", f"e_{n}") for n in range(5_000)]
    log.close()


def test_an_empty_log_has_no_tail(tmp_path: Path) -> None:
    log = open_log(Settings(home=tmp_path), "events")
    assert read_tail(log) == []
    log.close()

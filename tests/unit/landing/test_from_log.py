"""The event log is landed once, whatever it holds and whoever lands it."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nearline.errors import NearlineError
from nearline.landing.from_log import CONSUMER, find_unlanded, land_log
from nearline.landing.landings import OffsetRange, land_file, list_landings
from nearline.landing.log_files import LogFiles
from nearline.log import LogRecord, NewRecord, open_log
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, Record, all_bytes, write_events

ADDRESS = "anna@example.com"
LETTER: Record = {
    "deadletter_id": "d_1",
    "received_at": "2026-03-02T12:00:00.000Z",
    "source": "shop_web",
    "input": "event",
    "schema_version": "1.1",
    "event_name": "purchase",
    "field": "currency",
    "reason": "is missing; revenue_cents needs it",
    "fields": {
        "event_id": "e_9",
        "event_name": "purchase",
        "schema_version": "1.1",
        "visitor_id": "v_ben000001",
        "revenue_cents": 100,
        "currency": "***",
    },
}


def _append(settings: Settings, topic: str, *values: Record | bytes) -> None:
    records = [
        NewRecord(
            "k", value if isinstance(value, bytes) else json.dumps(value).encode()
        )
        for value in values
    ]
    with closing(open_log(settings, topic)) as log:
        log.append(records)


def _events(first: int, last: int) -> list[Record]:
    arrived = {"received_at": "2026-03-02T12:05:01Z"}
    return [{**PAGE, **arrived, "event_id": f"e_{n}"} for n in range(first, last + 1)]


def _rows(settings: Settings, kind: str = "events") -> list[dict[str, Any]]:
    files = sorted(settings.raw.glob(f"format=nearline/landing_id=*/{kind}*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def _ids(settings: Settings) -> list[str]:
    return [row["event_id"] for row in _rows(settings)]


def test_a_landing_says_which_offsets_it_holds_in_names_and_card(
    settings: Settings,
) -> None:
    _append(settings, "events", *_events(1, 3))
    today = datetime.now(UTC).date()

    (landing,) = land_log(settings)

    assert landing.ranges == (OffsetRange("events", 0, 1, 3),)
    assert list_landings(settings) == [landing]
    folder = settings.raw / "format=nearline" / "landing_id=00000001"
    names = {file.name for file in folder.iterdir()}
    # The day may turn between the append and the look at the calendar.
    assert names in [
        {
            "landing.json",
            f"events-{day}-p0-00000000000000000001-00000000000000000003.parquet",
        }
        for day in (today, today + timedelta(days=1))
    ]
    assert [
        (row["event_id"], row["source_file"], row["source_row"])
        for row in _rows(settings)
    ] == [
        ("e_1", "log:events/0", 1),
        ("e_2", "log:events/0", 2),
        ("e_3", "log:events/0", 3),
    ]


def test_what_is_landed_is_not_landed_again(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 3))
    land_log(settings)
    assert land_log(settings) == []
    _append(settings, "events", *_events(4, 5))
    (landing,) = land_log(settings)
    assert landing.ranges == (OffsetRange("events", 0, 4, 5),)
    assert _ids(settings) == ["e_1", "e_2", "e_3", "e_4", "e_5"]


def test_a_backlog_is_landed_in_bounded_pieces_in_its_order(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 10))
    _append(settings, "deadletters", LETTER)
    reached: list[int] = []

    landings = land_log(settings, reached.append, max_records=4)

    assert [landing.ranges for landing in landings] == [
        (OffsetRange("events", 0, 1, 4),),
        (OffsetRange("events", 0, 5, 8),),
        (OffsetRange("deadletters", 0, 1, 1), OffsetRange("events", 0, 9, 10)),
    ]
    assert reached == [4, 8, 11]
    assert _ids(settings) == [f"e_{n}" for n in range(1, 11)]


def test_without_a_log_nothing_is_landed_and_none_is_made(settings: Settings) -> None:
    assert land_log(settings) == []
    assert find_unlanded(settings) == {}
    assert not settings.home.exists()


def test_files_and_the_log_share_numbers_and_not_positions(
    settings: Settings, tmp_path: Path
) -> None:
    _append(settings, "events", *_events(1, 2))
    land_log(settings)
    file = write_events(tmp_path / "f.jsonl", _events(50, 50))
    assert land_file(settings, file, "nearline").landing_id == 2
    _append(settings, "events", *_events(3, 3))
    (landing,) = land_log(settings)
    assert landing.landing_id == 3
    assert sorted(_ids(settings)) == ["e_1", "e_2", "e_3", "e_50"]


def test_the_log_is_told_where_the_landing_is(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 3))
    assert find_unlanded(settings) == {("events", 0): 0}
    land_log(settings)
    assert find_unlanded(settings) == {}
    with closing(open_log(settings, "events")) as log:
        assert log.position(CONSUMER) == {0: 4}


def test_a_position_that_the_log_lost_lands_nothing_twice(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 3))
    land_log(settings)
    with closing(open_log(settings, "events")) as log:
        log.commit(CONSUMER, {0: 1})
    # Even if a crash had come before the commit: the cards alone decide.
    assert land_log(settings) == []
    assert _ids(settings) == ["e_1", "e_2", "e_3"]


def test_records_stay_in_the_log_for_the_days_of_the_setting_after_landing(
    settings: Settings,
) -> None:
    now = datetime.now(UTC)
    _append(settings, "events", *_events(1, 3))
    land_log(settings, clock=lambda: now)
    _append(settings, "events", *_events(4, 5))

    def offsets() -> list[int]:
        with closing(open_log(settings, "events")) as log:
            return [record.offset for record in log.read(0, 0, 100)]

    land_log(settings, clock=lambda: now + timedelta(days=6))
    assert offsets() == [1, 2, 3, 4, 5]
    land_log(settings, clock=lambda: now + timedelta(days=8))
    assert offsets() == [4, 5]
    land_log(settings, clock=lambda: now + timedelta(days=30))
    assert offsets() == []
    _append(settings, "events", *_events(6, 6))
    land_log(settings)
    assert _ids(settings) == [f"e_{n}" for n in range(1, 7)]


def test_a_log_that_starts_anew_is_another_log(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 3))
    land_log(settings)
    for file in settings.log.iterdir():
        file.unlink()
    _append(settings, "events", *_events(7, 8))
    land_log(settings)
    assert _ids(settings) == ["e_1", "e_2", "e_3", "e_7", "e_8"]


def test_a_log_put_back_from_a_backup_stops_the_landing_with_a_way_out(
    settings: Settings,
) -> None:
    _append(settings, "events", *_events(1, 3))
    land_log(settings)
    for file in settings.log.glob("events.sqlite*"):
        file.unlink()
    _append(settings, "events", *_events(7, 7))
    with pytest.raises(NearlineError, match=r"was replaced.* delete ") as failure:
        land_log(settings)
    (settings.log / "id").unlink()
    assert str(settings.log / "id") in str(failure.value)
    land_log(settings)
    assert _ids(settings) == ["e_1", "e_2", "e_3", "e_7"]


POISON = [
    b"",
    b"\xff\xfe",
    b"not JSON",
    b"[1, 2]",
    b'"anna@example.com"',
    b"null",
    b"{}",
    json.dumps({**PAGE, "visitor_id": ADDRESS}).encode(),
    json.dumps({**PAGE, "page_title": ADDRESS}).encode(),
    json.dumps({**PAGE, "properties": {"a": {"b": 10**30}}, "mood": 1}).encode(),
    json.dumps({**PAGE, "schema_version": "9.0"}).encode(),
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
]


@pytest.mark.parametrize("topic", ["events", "deadletters"])
def test_a_record_that_fits_nothing_is_set_aside_and_the_others_land(
    settings: Settings, topic: str
) -> None:
    """A Kafka topic may have writers that never met the collector."""
    _append(settings, topic, *POISON)
    _append(settings, "events", *_events(1, 2))

    land_log(settings)

    assert _ids(settings) == ["e_1", "e_2"]
    rejects = _rows(settings, "rejects")
    assert len(rejects) == len(POISON)
    assert len({reject["deadletter_id"] for reject in rejects}) == len(POISON)
    assert {reject["source_file"] for reject in rejects} == {f"log:{topic}/0"}
    assert [reject["source_row"] for reject in rejects] == list(
        range(1, len(POISON) + 1)
    )
    assert ADDRESS.encode() not in all_bytes(settings.raw)


def test_a_dead_letter_keeps_what_the_collector_said_of_it(settings: Settings) -> None:
    _append(settings, "deadletters", LETTER)
    land_log(settings)
    (reject,) = _rows(settings, "rejects")
    assert json.loads(reject.pop("row_masked")) == LETTER["fields"]
    assert reject == {
        "deadletter_id": "d_1",
        "received_at": datetime(2026, 3, 2, 12),
        "source_format": "nearline",
        "source": "shop_web",
        "schema_version": "1.1",
        "event_name": "purchase",
        "field": "currency",
        "reason": "is missing; revenue_cents needs it",
        "source_file": "log:deadletters/0",
        "source_row": 1,
    }


def test_identifiers_in_a_dead_letter_are_masked_as_if_nobody_had(
    settings: Settings,
) -> None:
    fields = {
        "visitor_id": ADDRESS,
        "user_id": "541312140",
        "page_title": f"Hello {ADDRESS}",
        "customer": "541312140",
        "properties": {"to": [ADDRESS], ADDRESS: 1},
    }
    letter = {
        **LETTER,
        "source": ADDRESS,
        "event_name": ADDRESS,
        "field": ADDRESS,
        "reason": f"got {ADDRESS}",
        "fields": fields,
    }
    _append(settings, "deadletters", letter)
    land_log(settings)
    assert len(_rows(settings, "rejects")) == 1
    kept = all_bytes(settings.raw)
    assert ADDRESS.encode() not in kept
    assert b"541312140" not in kept


def test_an_event_without_arrival_arrived_when_the_log_took_it(
    settings: Settings,
) -> None:
    _append(settings, "events", PAGE)
    with closing(open_log(settings, "events")) as log:
        (record,) = log.read(0, 0, 1)
    land_log(settings)
    (row,) = _rows(settings)
    arrival = datetime.fromtimestamp(record.appended_at / 1000, UTC)
    assert row["received_at"] == arrival.replace(tzinfo=None)


def _files_of(draft: Path, records: list[tuple[str, LogRecord]]) -> LogFiles:
    draft.mkdir()
    now = datetime(2026, 3, 2, 12, tzinfo=UTC)
    with LogFiles(draft, "test", Pseudonymizer(b"0123456789abcdef"), now) as files:
        for topic, record in records:
            files.add(topic, record)
    return files


def _record(partition: int, offset: int, appended_at: str, event_id: str) -> LogRecord:
    moment = datetime.fromisoformat(appended_at).timestamp()
    event = {**PAGE, "event_id": event_id, "occurred_at": "2026-03-01T12:00:00Z"}
    value = json.dumps(event).encode()
    return LogRecord(partition, offset, int(moment * 1000), "k", value)


def test_files_are_cut_by_day_of_arrival_and_partition(tmp_path: Path) -> None:
    records = [
        ("events", _record(0, 5, "2026-03-01T23:59:59.999Z", "a")),
        ("events", _record(0, 7, "2026-03-02T00:00:00.000Z", "b")),
        ("events", _record(0, 9, "2026-03-02T01:00:00.000Z", "c")),
        ("events", _record(1, 5, "2026-03-02T01:00:00.000Z", "d")),
        # A clock that cannot be right: it counts to the day of landing.
        ("events", _record(1, 6, "2099-01-01T00:00:00.000Z", "e")),
    ]
    files = _files_of(tmp_path / "draft", records)
    zeros = "0" * 19
    assert {
        path.name: pq.ParquetFile(path).read()["event_id"].to_pylist()
        for path in (tmp_path / "draft").iterdir()
    } == {
        f"events-2026-03-01-p0-{zeros}5-{zeros}5.parquet": ["a"],
        f"events-2026-03-02-p0-{zeros}7-{zeros}9.parquet": ["b", "c"],
        f"events-2026-03-02-p1-{zeros}5-{zeros}6.parquet": ["d", "e"],
    }
    assert files.ranges() == (
        OffsetRange("events", 0, 5, 9),
        OffsetRange("events", 1, 5, 6),
    )


def test_offsets_beyond_any_integer_of_a_database_are_kept_exactly(
    settings: Settings, tmp_path: Path
) -> None:
    """Kinesis' sequence numbers have up to 190 bits."""
    first, second = 2**190 - 5, 2**190 - 2
    at = "2026-03-02T01:00:00.000Z"
    records = [
        ("events", _record(0, first, at, "a")),
        ("events", _record(0, second, at, "b")),
    ]
    files = _files_of(tmp_path / "draft", records)
    (path,) = (tmp_path / "draft").iterdir()
    assert path.name == f"events-2026-03-02-p0-{first}-{second}.parquet"
    assert pq.ParquetFile(path).read()["source_row"].to_pylist() == [1, 2]
    assert files.ranges() == (OffsetRange("events", 0, first, second),)


LAND = (
    "import sys\n"
    "from nearline.landing.from_log import land_log\n"
    "from nearline.settings import load_settings\n"
    "print('ready', flush=True)\n"
    "land_log(load_settings(), max_records=400)\n"
)


def _start_landing(settings: Settings) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", LAND],
        env={**os.environ, "NEARLINE_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_landings_at_once_never_take_the_same_records(settings: Settings) -> None:
    _append(settings, "events", *_events(1, 3_000))
    together = [_start_landing(settings) for _ in range(3)]
    for process in together:
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert sorted(_ids(settings)) == sorted(f"e_{n}" for n in range(1, 3_001))


def test_landings_killed_at_any_moment_lose_nothing_and_double_nothing(
    settings: Settings,
) -> None:
    rng = random.Random(7)
    appended = 0
    kills = 0
    while kills < 12:
        count = rng.randint(200, 1_500)
        _append(settings, "events", *_events(appended + 1, appended + count))
        appended += count
        process = _start_landing(settings)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            process.wait(timeout=rng.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kills += process.returncode == -signal.SIGKILL
    land_log(settings)

    counts = Counter(_ids(settings))
    assert set(counts) == {f"e_{n}" for n in range(1, appended + 1)}
    assert set(counts.values()) == {1}
    ranges = [
        range_ for landing in list_landings(settings) for range_ in landing.ranges
    ]
    starts = sorted((range_.first, range_.last) for range_ in ranges)
    assert starts[0][0] == 1
    assert all(
        later[0] == earlier[1] + 1 for earlier, later in itertools.pairwise(starts)
    )

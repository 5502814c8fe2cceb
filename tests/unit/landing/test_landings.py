"""A file lands once, whole or not at all, whoever else is landing files."""

import json
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.landing.landings import Landing, land_file, list_landings
from nearline.settings import Settings
from tests.unit.landing.event_files import (
    PAGE,
    VIEW,
    all_bytes,
    landed_rows,
    landing_ids,
    start_command,
    write_events,
)


def test_a_landing_says_what_came_from_where(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "events.jsonl", [VIEW, PAGE, {**PAGE, "source": ""}])
    landing = land_file(
        settings, path, "nearline", clock=lambda: datetime(2026, 3, 2, 12, tzinfo=UTC)
    )
    assert landing == Landing(
        landing_id=1,
        format="nearline",
        source_file="events.jsonl",
        digest=landing.digest,
        accepted_count=2,
        rejected_count=1,
        landed_at="2026-03-02T12:00:00Z",
    )
    assert list_landings(settings) == [landing]
    folder = settings.raw / "format=nearline" / "landing_id=00000001"
    assert {file.name for file in folder.iterdir()} == {
        "events.parquet",
        "rejects.parquet",
        "landing.json",
    }


def test_a_file_landed_twice_changes_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "events.jsonl", [VIEW, PAGE])
    first = land_file(settings, path, "nearline")
    before = all_bytes(settings.raw)
    second = land_file(settings, path, "nearline")
    assert (first.is_new, second.is_new) == (True, False)
    assert second.landing_id == first.landing_id
    assert all_bytes(settings.raw) == before


def test_a_file_under_another_name_is_the_same_file(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "events.jsonl", [VIEW])
    land_file(settings, path, "nearline")
    before = all_bytes(settings.raw)
    assert not land_file(
        settings, path.rename(tmp_path / "again.jsonl"), "nearline"
    ).is_new
    assert all_bytes(settings.raw) == before


def test_landings_are_numbered_across_formats(
    settings: Settings, tmp_path: Path
) -> None:
    for number in range(3):
        path = write_events(
            tmp_path / f"{number}.jsonl", [{**PAGE, "event_id": f"e_{number}"}]
        )
        land_file(settings, path, "nearline")
    shop_log = tmp_path / "shop.csv"
    shop_log.write_text(
        "event_time,event_type,product_id,price,user_id,user_session\n"
        "2019-10-01 00:00:00 UTC,view,1,2.50,3,4\n"
    )
    assert land_file(settings, shop_log, "rees46").landing_id == 4
    assert [landing.landing_id for landing in list_landings(settings)] == [1, 2, 3, 4]


def test_a_file_name_with_an_address_is_masked(
    settings: Settings, tmp_path: Path
) -> None:
    path = write_events(tmp_path / "anna@example.com.jsonl", [VIEW, {**PAGE, "x": 1}])
    land_file(settings, path, "nearline")
    assert b"anna@example.com" not in all_bytes(settings.raw)


def test_two_processes_landing_the_same_file_land_it_once(
    settings: Settings, tmp_path: Path
) -> None:
    events = [{**PAGE, "event_id": f"e_{i}"} for i in range(5_000)]
    path = write_events(tmp_path / "events.jsonl", events)
    both = [start_command(settings, "ingest", path, "--json") for _ in range(2)]
    summaries = [json.loads(process.communicate(timeout=60)[0]) for process in both]
    assert sorted(s["landed_file_count"] for s in summaries) == [0, 1]
    assert sorted(s["known_file_count"] for s in summaries) == [0, 1]
    assert landing_ids(settings) == [1]
    assert len(landed_rows(settings)) == 5_000


def test_processes_landing_different_files_number_them_without_gap_or_double(
    settings: Settings, tmp_path: Path
) -> None:
    folders = []
    for worker in range(3):
        folder = tmp_path / f"worker{worker}"
        folder.mkdir()
        folders.append(folder)
        for number in range(8):
            event = {**PAGE, "event_id": f"e_{worker}_{number}"}
            write_events(folder / f"{number}.jsonl", [event])
    workers = [start_command(settings, "ingest", folder) for folder in folders]
    for process in workers:
        assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
    assert landing_ids(settings) == list(range(1, 25))
    assert [landing.landing_id for landing in list_landings(settings)] == list(
        range(1, 25)
    )
    assert len({row["event_id"] for row in landed_rows(settings)}) == 24


def _drafts(settings: Settings) -> list[Path]:
    return list(settings.raw.glob("format=*/.draft-*"))


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Events that take a second or more to land."""
    line = json.dumps({**VIEW, "event_id": "e_NUMBER"}) + "\n"
    path = tmp_path_factory.mktemp("large") / "large.jsonl"
    path.write_text("".join(line.replace("NUMBER", str(i)) for i in range(40_000)))
    return path


def _wait_for_draft(settings: Settings, process: "subprocess.Popen[str]") -> None:
    while not _drafts(settings):
        assert process.poll() is None, "the ingest ended before it was seen at work"
        time.sleep(0.005)


def test_an_ingest_killed_in_the_middle_leaves_nothing_that_counts(
    settings: Settings, tmp_path: Path, large_file: Path
) -> None:
    process = start_command(settings, "ingest", large_file)
    _wait_for_draft(settings, process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert landing_ids(settings) == []
    assert list_landings(settings) == []
    assert _drafts(settings)

    landing = land_file(settings, large_file, "nearline")
    assert (landing.landing_id, landing.is_new) == (1, True)
    assert landing.accepted_count == 40_000
    assert not _drafts(settings)


def test_an_ingest_leaves_alone_what_another_is_writing(
    settings: Settings, tmp_path: Path, large_file: Path
) -> None:
    process = start_command(settings, "ingest", large_file)
    _wait_for_draft(settings, process)
    small = write_events(tmp_path / "small.jsonl", [PAGE])
    assert land_file(settings, small, "nearline").landing_id == 1
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert [landing.accepted_count for landing in list_landings(settings)] == [
        1,
        40_000,
    ]


def test_large_files_are_landed_in_their_order(
    settings: Settings, large_file: Path
) -> None:
    reached: list[int] = []
    land_file(settings, large_file, "nearline", reached.append)
    rows = landed_rows(settings)
    assert [row["source_row"] for row in rows] == list(range(1, 40_001))
    assert rows[-1]["event_id"] == "e_39999"
    assert reached == sorted(reached)
    assert 0 < reached[0] < reached[-1] <= large_file.stat().st_size


def test_a_failed_file_leaves_no_draft(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("not JSON\n")
    with pytest.raises(InputError):
        land_file(settings, path, "nearline")
    assert not _drafts(settings)
    assert landing_ids(settings) == []

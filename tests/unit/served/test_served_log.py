"""What was served gets into raw Parquet once, whatever happens to the process."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nearline.privacy.suppression import list_digest, suppress
from nearline.served.landing import count_served, land_served, landed_folder
from nearline.served.log import (
    ServedLog,
    ServedView,
    is_sampled,
    segments_folder,
)
from nearline.settings import Settings
from tests.releases import release_tables, write_release
from tests.unit.online.small_shop import publish

NOON = datetime(2026, 3, 2, 12)
NOW = NOON.replace(tzinfo=UTC) + timedelta(hours=1)
SERVED = ServedView(
    served_at=NOON,
    service="visitor_features_v1",
    view="visitor_activity_1h_v1",
    view_table="ftr_visitor__activity_1h",
    entity_key="visitor_id",
    entity_id="v_anna00001",
    event_timestamp=NOON - timedelta(minutes=5),
    known_up_to=NOON - timedelta(minutes=1),
    known_from=None,
    suppression="",
    values={"count": 3, "seconds": 1.5, "page": "home", "known": True, "gone": None,
            "tags": ["a", "b"]},
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def log(settings: Settings, *served: ServedView) -> None:
    writer = ServedLog(segments_folder(settings), 1.0)
    writer.add(lambda: served)
    writer.close()


def landed(settings: Settings) -> list[dict]:
    return [
        row
        for path in sorted(landed_folder(settings).glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def write_manifest(settings: Settings, suppression: str) -> None:
    release = settings.releases / f"r-{suppression[:4]}"
    write_release(release, release_tables())
    (release / "manifest.json").write_text(
        json.dumps(
            {
                "release_id": release.name,
                "created_at": "2026-03-02T13:00:00+00:00",
                "code_version": "0",
                "data_up_to": None,
                "landings": {},
                "tables": {},
                "suppression": suppression,
            }
        )
    )
    publish(settings, release)


def test_a_served_row_lands_as_a_row_per_feature_by_type(settings: Settings) -> None:
    log(settings, SERVED)
    done = land_served(settings, NOW)
    rows = {row["feature"]: row for row in landed(settings)}
    assert done.row_count == len(rows) == 6
    assert {
        name: (row["value_text"], row["value_number"]) for name, row in rows.items()
    } == {
        "count": ("3", 3.0),
        "seconds": (None, 1.5),
        "page": ("home", None),
        "known": ("true", None),
        "gone": (None, None),
        "tags": ('["a","b"]', None),
    }
    assert len({row["served_id"] for row in rows.values()}) == 1
    assert rows["count"]["served_at"] == NOON
    assert rows["count"]["event_timestamp"] == NOON - timedelta(minutes=5)
    assert rows["count"]["known_from"] is None
    assert not list(segments_folder(settings).iterdir())


def test_a_segment_that_is_written_to_waits_for_the_next_landing(
    settings: Settings,
) -> None:
    writer = ServedLog(segments_folder(settings), 1.0)
    writer.add(lambda: [SERVED])
    writer.flush()
    done = land_served(settings, NOW)
    assert (done.open_segment_count, done.row_count) == (1, 0)
    writer.close()
    assert land_served(settings, NOW).row_count == 6


def test_what_is_served_unchanged_again_is_logged_once(settings: Settings) -> None:
    later = replace(SERVED, served_at=NOON + timedelta(seconds=9))
    changed = replace(later, values={**SERVED.values, "count": 4})
    log(settings, SERVED, later, changed)
    land_served(settings, NOW)
    counts = [
        row["value_text"] for row in landed(settings) if row["feature"] == "count"
    ]
    assert counts == ["3", "4"]


WRITER = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    from nearline.served.log import ServedLog
    from tests.unit.served.test_served_log import SERVED

    log = ServedLog(Path(sys.argv[1]), 1.0)
    log.add(lambda: [replace(SERVED, entity_id=f"v_{sys.argv[2]}{n:06}") for n in range(500)])
    log.flush()
    print("written", flush=True)
    sys.stdin.read()
"""


def test_several_processes_write_at_once_and_a_killed_one_loses_no_written_line(
    settings: Settings,
) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER),
             str(segments_folder(settings)), str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
    assert land_served(settings, NOW).open_segment_count == 3
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.communicate()
    assert land_served(settings, NOW).row_count == 3 * 500 * 6
    assert len({row["entity_id"] for row in landed(settings)}) == 1500


def test_a_line_that_was_cut_short_is_left_out_and_counted(settings: Settings) -> None:
    log(settings, SERVED, replace(SERVED, entity_id="v_ben000001"))
    (segment,) = segments_folder(settings).iterdir()
    segment.write_bytes(segment.read_bytes()[:-20])
    done = land_served(settings, NOW)
    assert (done.row_count, done.unread_line_count) == (6, 1)
    assert {row["entity_id"] for row in landed(settings)} == {"v_anna00001"}


def test_a_segment_landed_before_a_crash_is_not_landed_again(
    settings: Settings,
) -> None:
    log(settings, SERVED)
    (segment,) = segments_folder(settings).iterdir()
    content = segment.read_bytes()
    land_served(settings, NOW)
    # As if the landing had been killed before it removed the segment.
    segment.write_bytes(content)
    land_served(settings, NOW + timedelta(minutes=1))
    assert len(landed(settings)) == 6
    assert not segment.exists()


def test_what_is_older_than_the_retention_goes(settings: Settings) -> None:
    log(settings, SERVED)
    land_served(settings, NOW)
    kept = land_served(settings, NOW + timedelta(days=13))
    assert (kept.removed_file_count, count_served(settings)) == (0, 6)
    gone = land_served(settings, NOW + timedelta(days=14))
    assert (gone.removed_file_count, count_served(settings)) == (1, 0)


def test_erasing_a_visitor_takes_what_rests_on_its_events_along(
    settings: Settings,
) -> None:
    write_manifest(settings, "")
    item = replace(SERVED, entity_key="item_id", entity_id="sku-00123")
    other = replace(SERVED, entity_id="v_stranger1")
    elsewhere = replace(item, entity_id="sku-99999")
    log(settings, SERVED, item, other, elsewhere)
    land_served(settings, NOW)
    assert len(landed(settings)) == 4 * 6
    # The release has Anna looking at sku-00123.
    suppress(settings, "visitor", "v_anna00001", "erased", NOW)
    land_served(settings, NOW + timedelta(minutes=1))
    assert {row["entity_id"] for row in landed(settings)} == {
        "v_stranger1",
        "sku-99999",
    }
    assert b"v_anna00001" not in b"".join(
        path.read_bytes() for path in settings.served.rglob("*") if path.is_file()
    )


def test_what_was_served_under_a_list_that_is_gone_cannot_be_compared(
    settings: Settings,
) -> None:
    suppress(settings, "visitor", "v_anna00001", "erased", NOW)
    digest = list_digest(settings)
    write_manifest(settings, digest)
    log(settings, replace(SERVED, entity_id="v_ben000001"))
    log(settings, replace(SERVED, entity_id="v_carl00001", suppression=digest))
    land_served(settings, NOW)
    assert {row["entity_id"] for row in landed(settings)} == {"v_carl00001"}


def test_sampling_goes_by_the_key_alone_and_by_its_share() -> None:
    keys = [f"v_{number:08}" for number in range(20_000)]
    sampled = {key for key in keys if is_sampled(key, 0.1)}
    # 20,000 draws at 0.1: the standard deviation is 42.
    assert abs(len(sampled) - 2000) < 6 * 42
    assert sampled == {key for key in keys if is_sampled(key, 0.1)}
    assert sampled <= {key for key in keys if is_sampled(key, 0.2)}
    assert all(is_sampled(key, 1.0) for key in keys)
    assert not any(is_sampled(key, 0.0) for key in keys)


def test_an_app_serves_on_where_nothing_can_be_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    writer = ServedLog(blocked / "log", 1.0)
    writer.add(lambda: [SERVED])
    writer.close()
    assert writer.dropped_count == 1
    assert "served values were not logged" in caplog.text
    assert "v_anna" not in caplog.text


def test_a_child_of_a_fork_writes_a_segment_of_its_own(settings: Settings) -> None:
    writer = ServedLog(segments_folder(settings), 1.0)
    writer.add(lambda: [SERVED])
    writer.flush()
    child = os.fork()
    if child == 0:
        writer.add(lambda: [replace(SERVED, entity_id="v_child0001")])
        writer.close()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    writer.close()
    land_served(settings, NOW)
    assert {row["entity_id"] for row in landed(settings)} == {
        "v_anna00001",
        "v_child0001",
    }


def test_closing_waits_for_what_other_threads_added(settings: Settings) -> None:
    writer = ServedLog(segments_folder(settings), 1.0)

    def add(number: int) -> None:
        for one in range(100):
            view = replace(SERVED, entity_id=f"v_{number}_{one:06}")
            writer.add(lambda view=view: [view])

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    land_served(settings, NOW)
    assert len(landed(settings)) == 400 * 6

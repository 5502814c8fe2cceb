"""Which landed files still have to be checked."""

import os
from pathlib import Path

import pytest

from nearline.landing.landings import land_file
from nearline.landing.verification import remember_verified, unverified_files
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, write_events


@pytest.fixture
def landed(settings: Settings, tmp_path: Path) -> Settings:
    for number in range(3):
        event = {**PAGE, "event_id": f"e_{number}"}
        path = write_events(tmp_path / f"{number}.jsonl", [event])
        land_file(settings, path, "nearline")
    return settings


def test_every_file_is_unverified_at_first(landed: Settings) -> None:
    files = unverified_files(landed, "nearline")
    assert [file.parent.name for file in files] == [
        "landing_id=00000001",
        "landing_id=00000002",
        "landing_id=00000003",
    ]
    assert unverified_files(landed, "rees46") == []


def test_a_file_that_passed_is_not_named_again(landed: Settings) -> None:
    first, second, third = unverified_files(landed, "nearline")
    remember_verified(landed, "nearline", [first, third])
    assert unverified_files(landed, "nearline") == [second]
    remember_verified(landed, "nearline", [second])
    assert unverified_files(landed, "nearline") == []


def test_a_file_that_was_changed_is_unverified_again(landed: Settings) -> None:
    files = unverified_files(landed, "nearline")
    remember_verified(landed, "nearline", files)
    content = files[1].read_bytes()
    files[1].write_bytes(content + b" ")
    assert unverified_files(landed, "nearline") == [files[1]]
    modified_at = files[2].stat().st_mtime_ns + 1
    os.utime(files[2], ns=(modified_at, modified_at))
    assert unverified_files(landed, "nearline") == files[1:]


def test_what_passed_in_one_format_says_nothing_of_another(landed: Settings) -> None:
    files = unverified_files(landed, "nearline")
    remember_verified(landed, "rees46", files)
    assert unverified_files(landed, "nearline") == files


def test_nothing_passed_leaves_no_trace(settings: Settings) -> None:
    remember_verified(settings, "nearline", [])
    assert not settings.raw.exists()


def test_every_file_of_a_landing_from_the_log_is_named(settings: Settings) -> None:
    folder = settings.raw / "format=nearline" / "landing_id=00000001"
    folder.mkdir(parents=True)
    names = ["events-2026-03-01-p0-1-4.parquet", "events-2026-03-02-p0-5-9.parquet"]
    for name in [*names, "rejects-events-2026-03-02-p0-5-9.parquet", "landing.json"]:
        (folder / name).touch()
    files = unverified_files(settings, "nearline")
    assert [file.name for file in files] == names
    remember_verified(settings, "nearline", files[:1])
    assert unverified_files(settings, "nearline") == files[1:]

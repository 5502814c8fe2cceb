"""`nearline simulate` from outside: same bytes, clear refusals, a summary."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.simulate.command import simulate

SMALL = ["--visitors", "40", "--days", "4", "--seed", "5", "--start", "2026-09-01"]


def tree_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def run(*arguments: str) -> str:
    result = CliRunner().invoke(simulate, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        run(*arguments)
    assert caught.value.exit_code == 2
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_same_arguments_write_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    run(*SMALL, "--out", str(tmp_path / "first"))
    run(*SMALL, "--out", str(tmp_path / "second"))
    subprocess.run(
        [
            sys.executable,
            "-c",
            "from nearline.cli import main; main()",
            "simulate",
            *SMALL,
            "--out",
            str(tmp_path / "third"),
        ],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"},
    )
    hashes = {tree_hash(tmp_path / name) for name in ("first", "second", "third")}
    assert len(hashes) == 1


def test_another_seed_is_another_shop(tmp_path: Path) -> None:
    run(*SMALL, "--out", str(tmp_path / "first"))
    run(*SMALL, "--seed", "6", "--out", str(tmp_path / "second"))
    assert tree_hash(tmp_path / "first") != tree_hash(tmp_path / "second")


def test_spooling_to_disk_changes_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*SMALL, "--out", str(tmp_path / "first"))
    monkeypatch.setattr("nearline.simulate.writing._SPOOL_LINES", 50)
    monkeypatch.setattr("nearline.simulate.writing._CHUNK_LINES", 7)
    run(*SMALL, "--out", str(tmp_path / "second"))
    lines = [
        [
            line
            for path in sorted((tmp_path / name / "events").iterdir())
            for line in subprocess.check_output(["gzip", "-dc", path]).splitlines()
        ]
        for name in ("first", "second")
    ]
    assert lines[0] == lines[1]


def test_json_summary_has_counts_truth_and_speed(tmp_path: Path) -> None:
    summary = json.loads(run(*SMALL, "--json", "--out", str(tmp_path / "shop")))
    assert summary["visitor_count"] == 40
    assert summary["event_count"] > 0
    assert summary["session_count"] > 0
    assert summary["events_per_second"] > 0
    assert summary["effect_parameter"] == 0.15
    assert "true_effect" in summary


def test_one_visitor_on_one_day_is_a_shop(tmp_path: Path) -> None:
    out = run("--visitors", "1", "--days", "1", "--out", str(tmp_path / "shop"))
    assert "1 visitors" in out


def test_help_shows_an_example() -> None:
    assert (
        "Example: nearline simulate" in CliRunner().invoke(simulate, ["--help"]).output
    )


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["--visitors", "0"], "--visitors"),
        (["--visitors", "-3"], "--visitors"),
        (["--days", "0"], "--days"),
        (["--seed", "-1"], "--seed"),
        (["--start", "yesterday"], "--start"),
        (["--start", "2026-02-30"], "--start"),
        (["--start", "9999-12-01"], "--start"),
        (["--days", "99999999999"], "--days"),
        (["--effect", "-0.95"], "--effect"),
        (["--effect", "1.5"], "--effect"),
        (["--effect", "nan"], "--effect"),
    ],
)
def test_bad_input_is_one_line_naming_the_option(
    arguments: list[str], option: str, tmp_path: Path
) -> None:
    out = tmp_path / "shop"
    assert option in refusal(*arguments, "--out", str(out))
    assert not out.exists()


def test_a_folder_in_use_is_left_alone_without_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert "--force" in refusal(*SMALL, "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_force_replaces_events_and_truth_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    stale = tmp_path / "events" / "received-1999-01-01.jsonl.gz"
    stale.parent.mkdir()
    stale.write_bytes(b"")
    run(*SMALL, "--force", "--out", str(tmp_path))
    assert not stale.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "events",
        "notes.txt",
        "truth",
    ]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").write_text("mine")
    assert "--out" in refusal(*SMALL, "--out", str(tmp_path / "shop"))
    assert "--out" in refusal(*SMALL, "--out", str(tmp_path / "shop" / "below"))


def test_what_an_interrupted_run_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".unfinished" / "spool" / "0.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("half a li")
    run(*SMALL, "--out", str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events", "truth"]

"""What every command owes its user: help, one-line failures, JSON for machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from nearline.cli import group

COMMANDS: list[list[str]] = [
    [],
    ["simulate"],
    ["truth"],
    ["ingest"],
    ["run"],
    ["dashboards"],
    ["audience"],
    ["audience", "export"],
    ["identity"],
    ["identity", "explain"],
    ["identity", "unlink"],
    ["identity", "relink"],
    ["privacy"],
    ["privacy", "suppress"],
    ["privacy", "pseudonym"],
    ["privacy", "rotate-key"],
    ["collector"],
    ["collector", "new-key"],
    ["deadletters"],
    ["deadletters", "list"],
    ["deadletters", "show"],
    ["deadletters", "replay"],
    ["demo-shop"],
    ["experiment"],
    ["experiment", "analyze"],
    ["experiment", "plan"],
    ["live"],
    ["models"],
    ["models", "list"],
    ["models", "show"],
    ["models", "promote"],
    ["models", "rollback"],
    ["up"],
    ["propensity"],
    ["propensity", "train"],
    ["propensity", "score"],
    ["training-set"],
    ["triggers"],
    ["triggers", "check"],
    ["triggers", "list"],
    ["triggers", "outbox"],
    ["triggers", "run"],
    ["recommend"],
    ["recommend", "evaluate"],
    ["recommend", "evaluate-sessions"],
    ["recommend", "train"],
    ["recommend", "for"],
    ["recommend", "live"],
    ["serve"],
    ["serve", "new-key"],
    ["decide"],
    ["policy"],
    ["policy", "check"],
    ["policy", "evaluate"],
    ["policy", "learn"],
]
HEAVY = ("pandas", "duckdb", "dagster", "feast", "great_expectations", "sklearn", "dbt")

EVENT = {
    "event_id": "e_1",
    "event_name": "page_view",
    "schema_version": "1.0",
    "occurred_at": "2026-03-02T12:00:00Z",
    "source": "shop_web",
    "visitor_id": "v_anna00001",
}

_RUN = "from nearline.cli import main\nmain()\n"
_RUN_AND_LIST_IMPORTS = f"""
import sys
from nearline.cli import main
try:
    main()
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def _nearline(
    home: Path, *arguments: str | Path, code: str = _RUN
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "NEARLINE_HOME": str(home), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example_and_costs_no_heavy_import(
    tmp_path: Path, command: list[str]
) -> None:
    home = tmp_path / "home"
    done = _nearline(home, *command, "--help", code=_RUN_AND_LIST_IMPORTS)
    assert done.returncode == 0
    example = done.stdout.partition("\n  Example: ")[2]
    assert " ".join(["nearline", *command]) in example
    assert done.stderr == "[]\n"
    assert not home.exists()


def test_every_command_is_listed_with_what_it_does(tmp_path: Path) -> None:
    names = group.list_commands(click.Context(group))
    assert names == sorted(command[0] for command in COMMANDS if len(command) == 1)
    shown = _nearline(tmp_path, "--help").stdout.partition("Commands:")[2]
    for name in names:
        assert f"\n  {name} " in shown


@pytest.mark.parametrize(
    ("arguments", "exit_code", "says"),
    [
        (["ingest", "missing.jsonl"], 2, "missing.jsonl does not exist"),
        (["ingest", "events.txt"], 2, "events.txt: the name must end in .jsonl"),
        (["ingest", "."], 2, "empty.jsonl is empty"),
        (["up", "--port", "8090"], 2, "--decisions-port 8090 is the collector's"),
        (["ingest", "empty.jsonl", "--format", "xls"], 2, "unknown format 'xls'"),
        (["privacy", "suppress"], 2, "give either --visitor or --user"),
    ],
)
def test_a_known_failure_is_one_line_and_its_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exit_code: int,
    says: str,
) -> None:
    (tmp_path / "events.txt").touch()
    (tmp_path / "empty.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    done = _nearline(tmp_path / "home", *arguments)
    assert done.returncode == exit_code
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_a_command_that_prints_what_is_wrong_ends_with_its_exit_code(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.yml").write_text("version: 9")
    done = _nearline(tmp_path / "home", "policy", "check", str(tmp_path / "shop.yml"))
    assert done.returncode == 2
    assert "shop.yml: version" in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [["bogus"], ["ingest"], ["ingest", "x", "--no"]])
def test_a_command_used_wrongly_points_to_its_help(
    tmp_path: Path, arguments: list[str]
) -> None:
    done = _nearline(tmp_path, *arguments)
    assert done.returncode == 2
    assert "--help' for help" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(EVENT))
    (tmp_path / "file").touch()
    done = _nearline(tmp_path / "file" / "home", "ingest", events)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Not a directory")


def test_ingest_as_json_is_one_object(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    lines = [json.dumps(EVENT), "no JSON", json.dumps({**EVENT, "event_id": "e_2"})]
    (events / "a.jsonl").write_text("\n".join(lines))
    for is_new in (True, False):
        done = _nearline(tmp_path / "home", "ingest", events, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        summary = json.loads(done.stdout)
        (landing,) = summary.pop("landings")
        assert summary == {
            "file_count": 1,
            "landed_file_count": int(is_new),
            "known_file_count": int(not is_new),
            "failed_file_count": 0,
            "accepted_row_count": 2 * is_new,
            "rejected_row_count": 1 * is_new,
            "left_out_row_count": 0,
            "problems": [],
        }
        assert landing["is_new"] is is_new
        assert landing["source_file"] == "a.jsonl"


def test_ingest_says_what_became_of_the_files(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    (events / "a.jsonl").write_text(json.dumps(EVENT) + "\nno JSON\n")
    (events / "b.jsonl").write_text(json.dumps({**EVENT, "event_id": "e_2"}))
    home = tmp_path / "home"
    assert _nearline(home, "ingest", events / "b.jsonl").stdout == (
        "1 of 1 files landed: 1 rows accepted, 0 rejected\n"
    )
    assert _nearline(home, "ingest", events).stdout == (
        "1 of 2 files landed: 1 rows accepted, 1 rejected; 1 landed before\n"
        "  a.jsonl: 1 rejected; see `nearline deadletters list`\n"
    )

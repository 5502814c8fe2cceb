"""`nearline deadletters` as a person uses it."""

import json
from pathlib import Path

import pytest

from nearline.landing.landings import land_file
from nearline.settings import Settings
from tests.unit.landing.event_files import PAGE, run_command, write_events


@pytest.fixture
def landed(settings: Settings, tmp_path: Path) -> Settings:
    """Rows 2 to 4 of one file are refused."""
    records = [
        PAGE,
        {**PAGE, "event_id": "e_3", "scroll_rate": 7},
        {**PAGE, "event_id": "e_4", "mood": "good"},
        {**PAGE, "event_id": "e_5", "source": "app", "scroll_rate": 8},
    ]
    land_file(settings, write_events(tmp_path / "e.jsonl", records), "nearline")
    return settings


def test_list_shows_what_was_refused_and_why(landed: Settings) -> None:
    done = run_command(landed, "deadletters", "list", "--reason", "scroll")
    heading, *lines = done.stdout.splitlines()
    assert heading.split() == [
        "ID",
        "REFUSED",
        "AT",
        "(UTC)",
        "SOURCE",
        "EVENT",
        "REPLAYED",
        "WHY",
    ]
    assert [line.split()[0] for line in lines] == ["1-4", "1-2"]
    assert "app" in lines[0]
    assert lines[0].endswith(
        "scroll_rate: Input should be less than or equal to 1; got an integer"
    )


def test_list_says_that_there_is_more(landed: Settings) -> None:
    done = run_command(landed, "deadletters", "list", "--limit", "2")
    assert len(done.stdout.splitlines()) == 4
    assert "more than 2" in done.stdout


def test_list_of_an_empty_home_is_no_error(settings: Settings) -> None:
    done = run_command(settings, "deadletters", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "no dead letters\n", "")


def test_show_names_what_is_masked_and_how_to_mend_it(landed: Settings) -> None:
    done = run_command(landed, "deadletters", "show", "1-3")
    assert '"mood": "***"' in done.stdout
    assert "masked: mood; give --fix 'mood=…' or --drop 'mood'" in done.stdout
    unknown = run_command(landed, "deadletters", "show", "1-9")
    assert unknown.returncode == 2
    assert "see `nearline deadletters list`" in unknown.stderr


def test_replay_mends_sends_and_says_what_stays_refused(
    landed: Settings, tmp_path: Path
) -> None:
    done = run_command(
        landed, "deadletters", "replay", "--all", "--fix", "scroll_rate=0.7"
    )
    assert done.returncode == 2
    assert done.stdout == (
        "2 replayed; 1 refused\nthe next `nearline run` puts them into the tables\n"
    )
    assert done.stderr.startswith("error: 1-3: mood is masked: give its value")

    patch = tmp_path / "patch.json"
    patch.write_text('{"mood": null, "scroll_rate": 0.5}')
    arguments = ("deadletters", "replay", "1-2", "1-3", "--patch", patch, "--json")
    dry = json.loads(run_command(landed, *arguments, "--dry-run").stdout)
    assert (dry["is_dry_run"], dry["replayed_count"]) == (True, 1)
    done = run_command(landed, *arguments)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "is_dry_run": False,
        "replayed_count": 1,
        "replayed_before_count": 1,
        "refused_count": 0,
        "results": [
            {
                "deadletter_id": id_,
                "status": status,
                "event_id": event_id,
                "field": None,
                "reason": None,
            }
            for id_, status, event_id in (
                ("1-2", "replayed_before", "e_3"),
                ("1-3", "replayed", "e_4"),
            )
        ],
    }
    listed = run_command(landed, "deadletters", "list", "--open")
    assert listed.stdout == "no dead letters\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give ids, or --all, or --reason"),
        (["1-2", "--all"], "give ids, or --all, or --reason"),
        (["1-9"], "1 of 1 ids name no dead letter"),
        (["1-2", "--fix", "scroll_rate"], "has no '='"),
        (["1-2", "--fix", "source.a=1"], "source is no object or list"),
    ],
)
def test_a_replay_asked_for_wrongly_is_told_in_one_line(
    landed: Settings, arguments: list[str], says: str
) -> None:
    done = run_command(landed, "deadletters", "replay", *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_letters_are_listed_while_the_log_is_away(landed: Settings) -> None:
    landed.log.mkdir()
    (landed.log / "events.sqlite").write_bytes(b"no database, but as long as one" * 99)
    done = run_command(landed, "deadletters", "list", "--reason", "scroll")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert "what it holds beyond is not shown" in done.stderr

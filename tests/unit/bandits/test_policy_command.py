"""The commands as a user runs them: on a file, and on what is published."""

import csv
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from nearline.decisions.command import policy
from nearline.errors import InputError, NearlineError
from nearline.privacy.suppression import suppress
from nearline.settings import Settings
from tests.logged_slot import ACTIONS, CONTEXTS, log_decisions
from tests.releases import NOON, release_tables, write_release

Row = dict[str, Any]


def run(*arguments: str | Path) -> str:
    """What the command prints; its failure is raised."""
    done = CliRunner().invoke(policy, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def as_json(*arguments: str | Path) -> Any:
    return json.loads(run(*arguments, "--json"))


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    decisions = log_decisions(np.random.default_rng(8), 1_500)
    return [
        {
            "slot": "home",
            "choice": ACTIONS[action],
            "probability": probability,
            "is_clicked": bool(reward),
            "segment": CONTEXTS[context],
            "person_id": f"p_{unit:06}",
            "candidates": list(ACTIONS),
        }
        for action, probability, reward, context, unit in zip(
            decisions.action.tolist(),
            decisions.probability.tolist(),
            decisions.reward.tolist(),
            decisions.context.tolist(),
            decisions.unit.tolist(),
            strict=True,
        )
    ]


@pytest.fixture(scope="module")
def file(rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "decisions.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "candidates": "|".join(ACTIONS)} for row in rows)
    return path


@pytest.fixture
def home(rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A release with the same decisions, a minute apart."""
    settings = Settings(home=tmp_path / "home")
    tables = release_tables()
    tables["fct_decisions"] = [
        {
            **row,
            "decision_id": f"d_{number:06}",
            "visitor_id": row["person_id"].replace("p_", "v_"),
            "decided_at": NOON + timedelta(minutes=number),
            "purchase_count": 0,
            "is_held_out": False,
            "is_bot": False,
            "is_outcome_complete": True,
            "has_personalization_consent": True,
        }
        for number, row in enumerate(rows)
    ]
    write_release(settings.releases / "r1", tables)
    settings.published.symlink_to(settings.releases / "r1")
    monkeypatch.setenv("NEARLINE_HOME", str(settings.home))
    return settings


def _republish(settings: Settings, name: str, decisions: list[Row]) -> None:
    tables = {**release_tables(), "fct_decisions": decisions}
    write_release(settings.releases / name, tables)
    settings.published.unlink()
    settings.published.symlink_to(settings.releases / name)


def _decisions(settings: Settings) -> list[Row]:
    import pyarrow.parquet as pq

    path = settings.published.resolve() / "fct_decisions.parquet"
    return list(pq.read_table(path).to_pylist())


def test_a_file_and_what_is_published_give_the_same_answer(
    file: Path, home: Settings
) -> None:
    of_file = as_json(
        "evaluate", "--data", file, "--policy", "always:c", "--reward", "is_clicked",
        "--context", "segment",
    )  # fmt: skip
    published = as_json(
        "evaluate", "--slot", "home", "--policy", "always:c", "--context", "segment"
    )

    assert published["estimates"]["ips"]["value"]["value"] == pytest.approx(
        of_file["estimates"]["ips"]["value"]["value"]
    )
    assert published["estimates"]["dr"]["value"]["ci_low"] == pytest.approx(
        of_file["estimates"]["dr"]["value"]["ci_low"], rel=0.02
    )
    assert (published["source"], of_file["source"]) == ("r1", "decisions.csv")
    assert (published["slot"], published["reward"]) == ("home", "clicked")
    assert published["problem"] is None
    assert published["diagnostics"]["unit_count"] == 1_500


def test_the_words_have_verdict_values_and_diagnosis(file: Path) -> None:
    printed = run(
        "evaluate", "--data", file, "--slot", "home", "--policy", "epsilon-greedy",
        "--reward", "is_clicked", "--context", "segment",
    )  # fmt: skip
    assert printed.startswith("epsilon-greedy raises is_clicked a decision by 0.")
    for words in ("as it was", "doubly robust", "bootstrap", "effective decisions"):
        assert words in printed


def test_decisions_that_no_policy_made_or_whose_outcome_is_open_are_left_out_and_counted(
    home: Settings,
) -> None:
    decisions = _decisions(home)
    decisions[0]["is_bot"] = True
    decisions[1]["has_personalization_consent"] = False
    decisions[2]["is_held_out"] = True
    decisions[3]["fallback"] = "store_unavailable"
    decisions[4]["probability"] = None
    decisions[5]["is_outcome_complete"] = False
    decisions[6]["slot"] = "cart"
    suppress(
        home,
        "visitor",
        decisions[7]["visitor_id"],
        "opted_out",
        NOON.replace(tzinfo=UTC),
    )
    of_listed = sum(
        one["visitor_id"] == decisions[7]["visitor_id"] for one in decisions[7:]
    )
    _republish(home, "r2", decisions)

    found = as_json("evaluate", "--slot", "home", "--policy", "uniform")

    assert found["left_out"] == {
        "for machines": 1,
        "without consent to personalization": 1,
        "held out": 1,
        "fallbacks, which no policy chose": 1,
        "without a choice or its odds": 1,
        "too young for their outcome": 1,
        "of people on the suppression list": of_listed,
    }
    assert found["diagnostics"]["decision_count"] == len(decisions) - 7 - of_listed


def test_what_is_learnt_later_is_added_and_nothing_is_counted_twice(
    home: Settings, tmp_path: Path
) -> None:
    decisions = _decisions(home)
    learn = ("learn", "--slot", "home", "--policy", "thompson", "--context", "segment")
    parts, whole = tmp_path / "parts.json", tmp_path / "whole.json"
    run(*learn, "--out", whole)
    _republish(home, "r2", decisions[:1_000])
    run(*learn, "--out", parts)
    _republish(home, "r3", decisions)
    added = as_json(*learn, "--start", parts, "--out", parts)
    again = as_json(*learn, "--start", parts, "--out", parts)

    assert added["added"] == len(decisions) - 1_000
    assert again["added"] == 0
    assert json.loads(parts.read_text()) == json.loads(whole.read_text())
    last = datetime.fromisoformat(json.loads(whole.read_text())["learnt_until"])
    assert last == decisions[-1]["decided_at"].replace(tzinfo=UTC)


def test_a_learnt_policy_is_judged_on_later_decisions_alone(
    home: Settings, tmp_path: Path
) -> None:
    decisions = _decisions(home)
    path = tmp_path / "home.json"
    _republish(home, "r2", decisions[:1_000])
    run(
        "learn", "--slot", "home", "--policy", "epsilon-greedy", "--epsilon", "0.2",
        "--context", "segment", "--out", path,
    )  # fmt: skip
    _republish(home, "r3", decisions)

    found = as_json("evaluate", "--slot", "home", "--policy", path)

    assert found["diagnostics"]["decision_count"] == len(decisions) - 1_000
    assert found["policy"] == "epsilon-greedy"


def test_no_decision_at_all_is_an_answer(home: Settings) -> None:
    _republish(home, "r2", [])
    found = as_json("evaluate", "--slot", "home", "--policy", "thompson")
    assert found["problem"] == "no_decisions"
    assert found["verdict"].startswith("cannot conclude: no decision can be used")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policy", "uniform"], "--slot is missing"),
        (["--policy", "uniform", "--slot", "hom"], "there are home"),
        (["--policy", "uniform", "--slot", "home", "--reward", "joy"], "--reward must"),
        (
            ["--policy", "uniform", "--slot", "home", "--context", "joy"],
            "--context must",
        ),
        (["--policy", "uniform", "--slot", "home", "--unit", "x"], "goes with --data"),
        (["--policy", "always:z", "--slot", "home"], "there are a, b, c, d"),
        (["--policy", "nowhere.json", "--slot", "home"], "cannot be read"),
    ],
    ids=["no_slot", "slot", "reward", "context", "unit", "choice", "file"],
)
def test_a_mistaken_question_is_told(
    home: Settings, arguments: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run("evaluate", *arguments)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"probability": ""}, "'probability' is empty in 1 of"),
        ({"probability": "0"}, "not above 0 and up to 1 in 1 decisions"),
        ({"is_clicked": "maybe"}, "holds text in"),
        ({"choice": ""}, "'choice' is empty in 1 of"),
        ({"slot": "cart"}, "holds several slots"),
    ],
    ids=["no_odds", "odds", "reward", "choice", "slots"],
)
def test_a_mistake_in_a_file_is_told_without_its_values(
    file: Path, tmp_path: Path, change: dict[str, str], says: str
) -> None:
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    rows[3].update(change)
    path = tmp_path / "mistaken.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    with pytest.raises(InputError, match=says):
        run("evaluate", "--data", path, "--policy", "uniform", "--reward", "is_clicked")


def test_thompson_refuses_money(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "money.csv"
    path.write_text("choice,probability,revenue\na,0.5,1999\nb,0.5,0\n")
    with pytest.raises(InputError, match="thompson needs rewards from 0 to 1"):
        run("evaluate", "--data", path, "--policy", "thompson", "--reward", "revenue")


def test_before_the_first_run_there_is_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    with pytest.raises(NearlineError, match="run `nearline run` once, or give --data"):
        run("evaluate", "--slot", "home", "--policy", "uniform")


def test_bad_input_ends_with_exit_code_2_and_one_line() -> None:
    done = subprocess.run(
        [
            sys.executable, "-c", "from nearline.cli import main; main()",
            "policy", "evaluate", "--data", "nowhere.csv", "--policy", "uniform",
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: nowhere.csv is no file; give a CSV or Parquet file\n"
    )

"""`nearline models`: what is there, and another version in service, from a terminal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.errors import InputError
from nearline.models import Estimate, champion_name, decide, promote, register
from nearline.models.command import models
from nearline.models.registry import version_folder
from tests.unit.models.test_registry import FACTS, NOW, written


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two champions, one after the other, and a challenger."""
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    folder = tmp_path / "models"
    for number in (1, 2, 3):
        register(folder, "clicks", FACTS, written(str(number)), NOW)
        if number < 3:
            promote(folder, "clicks", number, "test", NOW)
    return folder


def said(*arguments: str) -> str:
    done = CliRunner().invoke(models, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_list_names_who_serves_and_what_is_on_disk(registry: Path) -> None:
    assert said("list") == (
        "clicks: champion v2, challenger v3, on disk v1, v2, v3\n"
        "  v2 promoted 2026-03-01: test\n"
    )
    assert json.loads(said("list", "--json")) == {
        "models": [
            {
                "name": "clicks",
                "champion": 2,
                "challenger": 3,
                "champions_before": [1],
                "versions": [1, 2, 3],
                "decided": {
                    "at": "2026-03-01T04:00:00+00:00",
                    "action": "promoted",
                    "version": 2,
                    "reason": "test",
                    "metrics": {"auc": {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}},
                    "beside_champion": {},
                },
            }
        ]
    }


def test_the_list_says_why_a_challenger_lost_and_how_it_stood_beside_the_champion(
    registry: Path,
) -> None:
    beside = {champion_name(2): {"auc": Estimate(0.9, 0.85, 0.95)}}
    register(registry, "clicks", replace(FACTS, beside=beside), written("4"), NOW)
    decide(registry, "clicks", 4, False, "worse than the champion", NOW)
    assert said("list").splitlines()[1:] == [
        "  v4 refused 2026-03-01: worse than the champion",
        "  auc 0.8 (0.7 to 0.9), the champion's 0.9 (0.85 to 0.95)",
    ]
    found = json.loads(said("list", "--json"))["models"][0]["decided"]
    assert found["beside_champion"]["auc"]["value"] == 0.9
    # Its card is damaged: what was decided is known all the same.
    (version_folder(registry, "clicks", 4) / "card.json").write_text("{")
    assert said("list").splitlines()[1:] == [
        "  v4 refused 2026-03-01: worse than the champion"
    ]


def test_before_anything_was_decided_the_list_says_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    register(tmp_path / "models", "clicks", FACTS, written("1"), NOW)
    assert said("list") == "clicks: champion none, challenger v1, on disk v1\n"
    assert json.loads(said("list", "--json"))["models"][0]["decided"] is None


def test_a_card_shows_measures_beside_those_of_the_base_rate(registry: Path) -> None:
    shown = said("show", "clicks")
    assert shown.startswith("clicks v2 (champion), trained 2026-03-01T04:00:00+00:00\n")
    assert "this version: auc 0.8 (0.7 to 0.9)" in shown
    assert "base_rate: auc 0.5\n" in shown
    assert json.loads(said("show", "clicks", "3", "--json"))["role"] == "challenger"


def test_promotion_and_rollback_are_one_command_each(registry: Path) -> None:
    assert said("promote", "clicks", "3") == "clicks: v3 serves; before it: v2, v1\n"
    assert said("rollback", "clicks") == "clicks: v2 serves; before it: v1\n"
    assert json.loads(said("rollback", "clicks", "--json"))["champion"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nothing"], "there is no model 'nothing'; registered: clicks"),
        (["show", "clicks", "9"], "no version 9; there are: v1, v2, v3"),
        (["promote", "clicks", "9"], "no version 9"),
        (["rollback", "nothing"], "registered: clicks"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    registry: Path, arguments: list[str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        said(*arguments)

"""Learnt policies deciding: by the odds that they state, and what if there is no file."""

import csv
import json
import logging
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from nearline.bandits.command import evaluate
from nearline.bandits.policies import odds_among
from nearline.bandits.policy_files import read_policy_file
from nearline.decisions.deciding import Choice, choose
from nearline.decisions.decision_events import Sender, decision_record
from nearline.decisions.knowing import Consents, Known
from nearline.decisions.learnt import LearntFiles, read_learnt
from nearline.decisions.policies import PolicySet
from nearline.errors import InputError
from tests.unit.decisions.small_page import (
    NO_LISTS,
    known_of,
    learnt_file,
    policies_of,
)

SHOP = """
version: 1
slots: { banner: { kind: block, policies: [home], default: { block: plain } } }
blocks:
  plain: { kind: message }
  a: { kind: banner }
  b: { kind: banner }
  c: { kind: banner, when: cart_item_count > 0 }
policies:
  home: { blocks: [a, b, c], learnt: home.json, explore: 0.2 }
"""


def shop_of(folder: Path, content: Any) -> tuple[PolicySet, LearntFiles]:
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "home.json").write_text(text)
    files = LearntFiles()
    files.refresh({folder / "home.json"})
    return policies_of(folder, SHOP), files


def decide(
    shop: PolicySet, files: LearntFiles, known: Known, rng: np.random.Generator
) -> Choice:
    return choose(shop.slots["banner"], shop, known, NO_LISTS, rng, files.current)


def odds_of(choice: Choice) -> dict[str, float]:
    return {name: odds for name, _, odds in choice.candidates}


def test_the_best_by_what_was_learnt_leads_in_each_segment(tmp_path: Path) -> None:
    shop, files = shop_of(tmp_path, learnt_file())
    rng = np.random.default_rng(0)
    # Of two, 0.12 is shared; c needs a cart.
    found = decide(shop, files, known_of(), rng)
    assert odds_of(found) == pytest.approx({"a": 0.06, "b": 0.94})
    engaged = known_of(primary_segment="engaged_user")
    assert odds_of(decide(shop, files, engaged, rng)) == pytest.approx(
        {"a": 0.94, "b": 0.06}
    )
    with_cart = decide(shop, files, known_of(cart_item_count=1), rng)
    assert odds_of(with_cart) == pytest.approx({"a": 0.04, "b": 0.92, "c": 0.04})
    assert (found.fallback, found.is_plain) == (None, False)
    assert found.learnt == read_learnt(tmp_path / "home.json").version
    assert [step.asked for step in found.steps] == ["learnt home.json"]


@pytest.mark.parametrize("kind", ["epsilon-greedy", "thompson"])
def test_the_odds_that_are_logged_are_those_of_the_draws(
    tmp_path: Path, kind: str
) -> None:
    shop, files = shop_of(tmp_path, learnt_file(kind))
    rng = np.random.default_rng(1)
    known = known_of(cart_item_count=1)
    count = 5_000
    found = [decide(shop, files, known, rng) for _ in range(count)]
    stated = odds_of(found[0])
    assert sum(stated.values()) == pytest.approx(1)
    exact = odds_among(
        read_policy_file(tmp_path / "home.json").policy(),  # type: ignore[union-attr]
        ["a", "b", "c"],
    )
    assert stated == pytest.approx(exact, abs=2e-6)
    shares = Counter(choice.chosen[0] for choice in found)
    for name, odds in stated.items():
        # Five standard errors.
        error = 5 * (odds * (1 - odds) / count) ** 0.5
        assert shares[name] / count == pytest.approx(odds, abs=error)
    for choice in found[:200]:
        (chosen,) = choice.chosen
        assert choice.probability == odds_of(choice)[chosen] == stated[chosen]
        assert choice.place_probabilities == (choice.probability,)
        assert choice.candidates[0][0] == chosen


def test_a_policy_is_judged_rightly_on_what_was_decided_so(tmp_path: Path) -> None:
    shop, files = shop_of(tmp_path, learnt_file("thompson", epsilon=0.3))
    rng = np.random.default_rng(2)
    rates = {("", "a"): 0.1, ("", "b"): 0.3, ("engaged_user", "a"): 0.5,
             ("engaged_user", "b"): 0.2}  # fmt: skip
    rows = []
    for number in range(2_500):
        segment = None if number % 2 else "engaged_user"
        known = known_of(f"v_{number:08}", primary_segment=segment)
        choice = decide(shop, files, known, rng)
        record = decision_record("d_1", choice, known, Sender("web"), 1.0)
        said = orjson.loads(record.value)["properties"]
        assert said["segment"] == segment
        is_clicked = rng.random() < rates[segment or "", said["chosen"][0]]
        rows.append((said, segment or "", float(is_clicked)))
    with (tmp_path / "decisions.csv").open("w") as file:
        lines = csv.writer(file)
        names = ("slot", "choice", "probability", "candidates", "segment", "won")
        lines.writerow(names)
        for said, segment, reward in rows:
            candidates = "|".join(one[0] for one in said["candidates"])
            (choice,) = said["chosen"]
            odds = said["probability"]
            lines.writerow(
                (said["slot"], choice, odds, candidates, segment or "none", reward)
            )
    for action, worth in (("a", 0.3), ("b", 0.25)):
        arguments = (
            f"--data {tmp_path / 'decisions.csv'} --policy always:{action} "
            "--reward won --context segment --json"
        )
        done = CliRunner().invoke(evaluate, arguments.split())
        found = json.loads(done.stdout)
        assert found["problem"] is None
        value = found["estimates"]["dr"]["value"]
        assert value["ci_low"] < worth < value["ci_high"]
        assert value["ci_high"] - value["ci_low"] < 0.15


def test_who_cannot_be_measured_sees_the_likeliest(tmp_path: Path) -> None:
    shop, files = shop_of(tmp_path, learnt_file())
    unmeasured = replace(known_of(), consents=Consents(personalization=True))
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = decide(shop, files, unmeasured, rng)
        assert (found.chosen, found.probability) == (("b",), 1.0)


def test_without_a_file_blocks_are_in_plain_order_with_the_policys_exploration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = LearntFiles()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            files.refresh({tmp_path / "home.json"})
    (told,) = caplog.messages
    assert "home.json" in told
    assert "in plain order" in told
    shop = policies_of(tmp_path, SHOP)
    found = decide(shop, files, known_of(), np.random.default_rng(0))
    assert odds_of(found) == pytest.approx({"a": 0.9, "b": 0.1})
    assert (found.learnt, found.is_plain) == (None, True)
    assert found.steps[-1].found == "cannot be read"


def test_a_damaged_file_leaves_the_last_good_one_and_a_mended_one_is_taken_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, files = shop_of(tmp_path, learnt_file())
    path = tmp_path / "home.json"
    before = files.current[path].version
    for content in ("{", '{"kind": "magic"}', "[]"):
        path.write_text(content)
        with caplog.at_level(logging.WARNING):
            files.refresh({path})
        assert files.current[path].version == before
        assert "the one before goes on" in caplog.messages[-1]
    path.unlink()
    files.refresh({path})
    assert files.current[path].version == before
    path.write_text(json.dumps(learnt_file(epsilon=0.5)))
    files.refresh({path})
    assert files.current[path].version != before
    # A file that no policy names any more is let go of.
    files.refresh(set())
    assert files.current == {}


def test_odds_too_small_to_be_logged_are_not_drawn_with(tmp_path: Path) -> None:
    table = {"kind": "table", "odds": {"*": {"a": 1 - 4e-7, "b": 4e-7}}}
    shop, files = shop_of(tmp_path, table)
    found = decide(shop, files, known_of(), np.random.default_rng(0))
    assert odds_of(found) == {"a": 1.0, "b": 0.0}


def test_a_table_of_odds_by_segment_decides_too(tmp_path: Path) -> None:
    table = {
        "kind": "table",
        "odds": {"*": {"a": 0.7, "b": 0.3}, "engaged_user": {"b": 1}},
    }
    shop, files = shop_of(tmp_path, table)
    rng = np.random.default_rng(0)
    assert odds_of(decide(shop, files, known_of(), rng)) == {"a": 0.7, "b": 0.3}
    engaged = known_of(primary_segment="engaged_user")
    assert decide(shop, files, engaged, rng).chosen == ("b",)


def test_what_is_not_known_when_it_is_decided_is_told(tmp_path: Path) -> None:
    (tmp_path / "home.json").write_text(json.dumps(learnt_file(context="weather")))
    with pytest.raises(InputError, match="learn by one of segment, source"):
        read_learnt(tmp_path / "home.json")

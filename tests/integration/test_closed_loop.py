"""The loop, closed: people ask over HTTP what to see, react, and the marts tell its worth.

Page, collector, log, live features, Feast, decision, exposure, outcome, run, marts: all of
it as a user starts it. Two crowds visit one shop, each with a slot and an experiment of
its own: one cares for what it is shown, the other does not.

What is true is worked out here, from what is written down of each person and the model
of taste as documented, with nothing of the simulator's or the pipeline's code.

Why it does not flicker. Taste, consent and luck come from a seed, arms from a fixed key of
pseudonyms: the same people are in the same arms and mean to do the same every time. Lists
go by live features, which are late on a busy machine; so everybody comes twice. On the
first visit they see a slot that does not count, and become known; the live processor
catches up; on the second they see the one that counts. Among those who do not care lists
change nothing, so what they buy is always the same. Among those who care, with some 190
people an arm, personal lists raise the share who use the cart by 22 points or more with a
standard error of 4.7, and conversion by 17 or more with one of 4.4: a sign that does not
come by chance. The truth is asked for within four standard errors, beyond which an estimate
without bias lies once in 16,000 times.
"""

import gzip
import json
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import httpx
import pytest

from tests.pipeline import NEARLINE, Home, simulate
from tests.running_collector import running_collector, running_decisions

pytestmark = pytest.mark.services  # minutes, and three servers

SHOP_SEED = 3
CARING, CARE = 600, 4
INDIFFERENT = 230
_PATIENCE_SECONDS = 120.0

POLICIES = """
version: 1
slots:
  caring: { kind: items, count: 4, policies: [for_caring] }
  indifferent: { kind: items, count: 4, policies: [for_indifferent] }
  untried: { kind: items, count: 4, policies: [for_nobody] }
policies:
"""
POLICY = """
  for_NAME:
    needs: [personalization]
    hold_out: 0.1
    experiment:
      key: NAME
      arms: { control: { share: 0.5, default: true }, personal: { share: 0.5 } }
    # Nothing is drawn, and nothing mixed in: what fits best.
    list: { exploration_share: 0, relevance_share: 1 }
"""


def policies() -> str:
    names = ("caring", "indifferent", "nobody")
    return POLICIES + "".join(POLICY.replace("NAME", name) for name in names)


Record = Mapping[str, Any]


@dataclass(frozen=True)
class Crowd:
    """What was said in the end, and what is written down of each person."""

    name: str
    care: float
    summary: Mapping[str, Any]
    records: Sequence[Record]

    def arm(self, name: str) -> list[Record]:
        return [one for one in self.records if one["arms"] == {self.name: name}]


@dataclass(frozen=True)
class Loop:
    home: Home
    prices: Mapping[str, tuple[str, str, int]]
    """By item: category, brand and price in cents."""
    caring: Crowd
    indifferent: Crowd
    stopped: "subprocess.CompletedProcess[str]"

    @property
    def crowds(self) -> tuple[Crowd, Crowd]:
        return self.caring, self.indifferent


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    folder = tmp_path_factory.mktemp("loop")
    home = Home(folder / "home", {"NEARLINE_PSEUDONYM_KEY": "0123456789abcdef" * 4})
    start = date.today() - timedelta(days=9)
    simulate(
        folder / "shop", visitors=300, days=8, seed=SHOP_SEED, effect=0, start=start
    )
    home.nearline("ingest", folder / "shop" / "events")
    home.nearline("run")
    home.nearline("recommend", "train")
    (home.path / "policies").mkdir()
    (home.path / "policies" / "loop.yml").write_text(policies())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in home.variables.items():
            patch.setenv(name, value)
        with (
            running_collector(home.path) as collector,
            running_decisions(home.path) as decisions,
        ):
            urls = ["--live", decisions.url, "--collector", collector.url]
            _wait_until_ready(decisions.url)
            for seed, visitors in ((45, CARING), (42, INDIFFERENT)):
                first = f"first visits of {seed}"
                _visits(folder, home, urls, first, "untried", visitors, 0, seed).crowd()
            home.nearline("live", "--until-idle")
            visits = [
                _visits(folder, home, urls, "caring", "caring", CARING, CARE, 45),
                _visits(
                    folder, home, urls, "indifferent", "indifferent", INDIFFERENT, 0, 42
                ),
            ]
            caring, indifferent = (one.crowd() for one in visits)
            stopped = _stopped_visits(folder, home, urls)
    home.nearline("run")
    with gzip.open(folder / "shop" / "truth" / "catalogue.jsonl.gz", "rt") as file:
        items = [json.loads(line) for line in file]
    return Loop(
        home,
        {
            one["item_id"]: (
                one["item_category"],
                one["item_brand"],
                one["price_cents"],
            )
            for one in items
        },
        caring,
        indifferent,
        stopped,
    )


@dataclass(frozen=True)
class _Visits:
    """People who are coming."""

    name: str
    care: float
    out: Path
    process: "subprocess.Popen[str]"

    def crowd(self) -> Crowd:
        output, errors = self.process.communicate()
        assert self.process.returncode == 0, errors
        with gzip.open(self.out / "truth" / "visitors.jsonl.gz", "rt") as file:
            records = [json.loads(line) for line in file]
        return Crowd(self.name, self.care, json.loads(output), records)


def _visits(
    folder: Path,
    home: Home,
    urls: list[str],
    name: str,
    slot: str,
    visitors: int,
    care: float,
    seed: int,
) -> _Visits:
    """People come within a minute, and are quick."""
    out = folder / name
    process = _simulate(
        home, *urls, "--slot", slot, "--visitors", str(visitors), "--care", str(care),
        "--seed", str(seed), "--seconds", "60", "--pace", "50", "--out", str(out),
        "--json",
    )  # fmt: skip
    return _Visits(name, care, out, process)


def _simulate(home: Home, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(NEARLINE), "simulate", *arguments, "--shop-seed", str(SHOP_SEED)],
        env=home.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _stopped_visits(
    folder: Path, home: Home, urls: list[str]
) -> "subprocess.CompletedProcess[str]":
    """An hour's visits, of which a few seconds are had."""
    process = _simulate(
        home, *urls, "--slot", "untried", "--visitors", "3600", "--seconds", "3600",
        "--seed", "43", "--out", str(folder / "stopped"),
    )  # fmt: skip
    # Its folder is there as soon as it is open.
    until = time.monotonic() + _PATIENCE_SECONDS
    while not list(folder.glob("stopped/.unfinished/truth/*")):
        assert time.monotonic() < until
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=_PATIENCE_SECONDS)
    return subprocess.CompletedProcess([], process.returncode, output, errors)


def _wait_until_ready(url: str) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while httpx.get(f"{url}/readyz").json()["status"] != "ready":
        assert time.monotonic() < until
        time.sleep(0.2)


def test_everybody_was_answered_and_nothing_went_wrong(loop: Loop) -> None:
    for crowd, visitors in zip(loop.crowds, (CARING, INDIFFERENT), strict=True):
        assert crowd.summary["visitor_count"] == visitors
        assert crowd.summary["problems"] == {}
        # Two in three allow what is needed; hardly anybody is asked about twice.
        assert crowd.summary["unit_count"] == len(crowd.records) > visitors / 2
        assert crowd.summary["same_count"] > 0.8 * len(crowd.records)


def test_decisions_are_on_record_as_they_were_shown_with_what_came_of_them(
    loop: Loop,
) -> None:
    found = {
        row[0]: row[1:]
        for row in loop.home.published(
            "select decision_id, chosen, is_held_out, exposure_count, click_count, "
            "purchase_count, revenue_cents from {fct_decisions}"
        )
    }
    for crowd in loop.crowds:
        for one in crowd.records:
            did = one["reaction"]
            bought = [one["shown"][did["clicked"]]] if did["has_bought"] else []
            # What somebody buys by himself counts where it was shown as well.
            bought += [one["own_item"]] if did["buys_own"] else []
            counted = [item for item in bought if item in one["shown"]]
            assert found[one["decision_id"]] == (
                one["shown"],
                one["hold_out"],
                1,
                int(did["clicked"] is not None),
                len(counted),
                sum(loop.prices[item][2] for item in counted),
            )


def test_personal_answers_rest_on_what_the_visitor_did_just_now(loop: Loop) -> None:
    personal = [one for crowd in loop.crowds for one in crowd.arm("personal")]
    assert mean(one["answer"] == "personal" for one in personal) > 0.9
    assert {one["answer"] for crowd in loop.crowds for one in crowd.arm("control")} == {
        "popular"
    }
    ((slowest,),) = loop.home.published(
        "select quantile_cont(feature_age_seconds, 0.9) from {fct_decisions} "
        "where answer = 'personal' and slot = 'caring'"
    )
    assert slowest < 3_600


def test_the_analysis_has_everybody_in_the_arm_and_counts_what_they_did(
    loop: Loop,
) -> None:
    for crowd in loop.crowds:
        personal, control = crowd.arm("personal"), crowd.arm("control")
        for metric, did in (("conversion", _bought), ("add_to_cart", _carted)):
            row = _result(loop, crowd.name, metric)
            assert (row["unit_count"], row["control_unit_count"]) == (
                len(personal),
                len(control),
            )
            assert row["variant_mean"] == pytest.approx(mean(map(did, personal)))
            assert row["control_mean"] == pytest.approx(mean(map(did, control)))


@pytest.mark.parametrize("metric", ["conversion", "add_to_cart"])
def test_the_worth_of_personal_answers_is_recovered_where_people_care(
    loop: Loop, metric: str
) -> None:
    row = _result(loop, "caring", metric)
    true_effect = _true_effect(loop, loop.caring, metric)
    standard_error = (row["ci_high"] - row["ci_low"]) / (2 * 1.96)
    assert true_effect > 2.5 * standard_error, (
        "the lists fit no better: nothing to find"
    )
    assert row["ci_low"] > 0
    assert abs(row["estimate"] - true_effect) < 4 * standard_error


@pytest.mark.parametrize("metric", ["conversion", "add_to_cart"])
def test_it_is_none_where_people_do_not_care(loop: Loop, metric: str) -> None:
    row = _result(loop, "indifferent", metric)
    assert _true_effect(loop, loop.indifferent, metric) == pytest.approx(0, abs=1e-12)
    assert row["ci_low"] < 0 < row["ci_high"]
    # And not since the interval were so wide that it held anything.
    assert row["ci_high"] < _true_effect(loop, loop.caring, metric)


def test_the_hold_out_is_compared_as_the_policies_had_it(loop: Loop) -> None:
    for crowd in loop.crowds:
        held_out = [one for one in crowd.records if one["hold_out"]]
        assert held_out
        assert crowd.summary["held_out_count"] == len(held_out)
        compared = json.loads(
            loop.home.nearline(
                "truth", loop.home.path.parent / crowd.name, "--json"
            ).stdout
        )
        by_hold_out = compared["estimates"][-1]
        others = crowd.arm("personal")
        assert by_hold_out["found_unit_count"] == len(held_out) + len(others)
        effects = {one["metric_name"]: one for one in by_hold_out["effects"]}
        for metric, did in (("click", _clicked), ("conversion", _bought)):
            difference = mean(map(did, others)) - mean(map(did, held_out))
            assert effects[metric]["estimate"] == pytest.approx(difference)


def test_the_truth_on_file_is_the_one_worked_out_here(loop: Loop) -> None:
    for crowd in loop.crowds:
        for metric in ("click", "add_to_cart", "conversion"):
            assert crowd.summary["true_effects"][metric] == pytest.approx(
                _true_effect(loop, crowd, metric)
            )


def test_told_to_stop_it_ends_with_a_summary_and_the_truth_so_far(loop: Loop) -> None:
    assert loop.stopped.returncode == 130, loop.stopped.stderr
    assert "stopped before everybody had been" in loop.stopped.stdout
    assert "Traceback" not in loop.stopped.stderr
    folder = loop.home.path.parent / "stopped" / "truth"
    assert json.loads((folder / "live.json").read_text())["summary"]["is_stopped"]
    assert (folder / "visitors.jsonl.gz").exists()


def _result(loop: Loop, experiment: str, metric: str) -> dict[str, Any]:
    columns = (
        "unit_count", "control_unit_count", "variant_mean", "control_mean", "estimate",
        "ci_low", "ci_high",
    )  # fmt: skip
    (row,) = loop.home.published(
        f"select {', '.join(columns)} from {{fct_experiment_results}} where "
        f"experiment_key = '{experiment}' and metric_name = '{metric}' and "
        "variant_key = 'personal'"
    )
    return dict(zip(columns, row, strict=True))


def _clicked(one: Record) -> bool:
    return one["reaction"]["clicked"] is not None


def _carted(one: Record) -> bool:
    return one["reaction"]["has_carted"] or one["reaction"]["buys_own"]


def _bought(one: Record) -> bool:
    return one["reaction"]["has_bought"] or one["reaction"]["buys_own"]


def _true_effect(loop: Loop, crowd: Crowd, metric: str) -> float:
    """Mean over all in the trial of their chance with the one list less the other."""
    place = ("click", "add_to_cart", "conversion").index(metric)
    differences = []
    for one in crowd.records:
        lists = {"personal": one["personal"], "default": one["default"]}
        # Of their own group it is known what they saw.
        sees_default = one["hold_out"] or one["arms"] == {crowd.name: "control"}
        lists["default" if sees_default else "personal"] = one["shown"]
        personal, default = (
            _chances(loop, one, lists[kind], crowd.care)[place]
            for kind in ("personal", "default")
        )
        differences.append(personal - default)
    return mean(differences)


def _chances(
    loop: Loop, one: Record, shown: list[str], care: float
) -> tuple[float, float, float]:
    """As docs/closed-loop.md has it: of a click, of the cart, of a purchase."""
    click = cart = buy = 0.0
    for item in shown:
        category, brand, _ = loop.prices[item]
        liking = 0.25 if brand in one["brands"] else 0.0
        for dear, share in zip(one["categories"], (0.75, 0.4, 0.2), strict=True):
            liking += share * (category == dear)
        weight = 1 + care * liking
        click += 0.2 * weight / len(shown)
        cart += 0.2 * weight / len(shown) * 0.2 * weight
    buy = 0.8 * cart
    return click, 1 - (1 - cart) * 0.96, 1 - (1 - buy) * 0.96

"""Estimates on the Open Bandit sample against those of the Open Bandit Pipeline (obp).

Saito et al. (2021), NeurIPS Datasets: 10,000 impressions each of a fashion shop whose
80 items were shown uniformly and by Thompson sampling, three places a page. Sample and
estimators are in obp's wheel; of the latter only the file with the estimators is run,
since the package at large needs torch.
"""

import csv
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nearline.bandits.estimators import PolicyValue, Weighed, estimate_values
from nearline.bandits.evaluation import Contender, evaluate_policy
from nearline.bandits.logged import LoggedDecisions, logged_decisions
from nearline.bandits.policies import Policy, Table, Uniform
from nearline.bandits.reward_model import expected_rewards


@pytest.fixture(scope="module")
def folder() -> Path:
    found = importlib.util.find_spec("obp")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


@pytest.fixture(scope="module")
def obp(folder: Path) -> Iterator[Any]:
    """The module with the estimators."""
    with pytest.MonkeyPatch.context() as patch:
        torch = ModuleType("torch")
        torch.Tensor = type("Tensor", (), {})  # type: ignore[attr-defined]
        package = ModuleType("obp.ope")
        package.__path__ = [str(folder / "ope")]
        patch.setitem(sys.modules, "torch", torch)
        patch.setitem(sys.modules, "obp.ope", package)
        yield importlib.import_module("obp.ope.estimators")
    for name in [name for name in sys.modules if name.partition(".")[0] == "obp"]:
        del sys.modules[name]


def _sample(folder: Path, logged_by: str) -> LoggedDecisions:
    path = folder / "dataset" / "obd" / logged_by / "all" / "all.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return logged_decisions(
        [row["item_id"] for row in rows],
        np.array([float(row["propensity_score"]) for row in rows]),
        np.array([float(row["click"]) for row in rows]),
        contexts=[row["position"] for row in rows],
    )


@pytest.fixture(scope="module")
def by_chance(folder: Path) -> LoggedDecisions:
    return _sample(folder, "random")


@pytest.fixture(scope="module")
def by_thompson(folder: Path) -> LoggedDecisions:
    return _sample(folder, "bts")


@pytest.fixture(scope="module")
def often_shown(by_thompson: LoggedDecisions) -> Table:
    """Each place's items as often as Thompson sampling showed them."""
    situations = by_thompson.situations
    counts = np.zeros((len(situations.contexts), len(situations.actions)))
    np.add.at(counts, (by_thompson.context, by_thompson.action), 1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return Table(
        {
            context: dict(zip(situations.actions, row.tolist(), strict=True))
            for context, row in zip(situations.contexts, shares, strict=True)
        }
    )


def _compared(
    obp: Any, decisions: LoggedDecisions, policy: Policy
) -> dict[str, tuple[float, float]]:
    """Ours and theirs, by estimator."""
    odds = policy.odds(decisions.situations).values[decisions.situation]
    rewards = expected_rewards(decisions)[decisions.context]
    rows = np.arange(len(decisions))
    given: dict[str, Any] = {
        "reward": decisions.reward,
        "action": decisions.action,
        "pscore": decisions.probability,
        "action_dist": odds[:, :, None],
        "position": np.zeros(len(decisions), dtype=int),
    }
    ours = {
        one.estimator: _value(one)
        for one in estimate_values(
            Weighed(
                odds[rows, decisions.action] / decisions.probability,
                decisions.reward,
                rewards[rows, decisions.action],
                (odds * rewards).sum(axis=1),
                decisions.unit,
            ),
            seed=1,
        )
    }
    theirs = {
        "ips": obp.InverseProbabilityWeighting().estimate_policy_value(**given),
        "snips": obp.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(
            **given
        ),
        "dr": obp.DoublyRobust().estimate_policy_value(
            **given, estimated_rewards_by_reg_model=rewards[:, :, None]
        ),
    }
    return {name: (ours[name], theirs[name]) for name in theirs}


def _value(one: PolicyValue) -> float:
    assert one.value.value is not None
    return one.value.value


def test_estimates_of_one_logs_policy_on_the_others_equal_the_librarys(
    obp: Any,
    by_chance: LoggedDecisions,
    by_thompson: LoggedDecisions,
    often_shown: Table,
) -> None:
    for decisions, policy in ((by_chance, often_shown), (by_thompson, Uniform())):
        for ours, theirs in _compared(obp, decisions, policy).values():
            assert ours == pytest.approx(theirs, rel=1e-9)
            assert ours > 0


def test_what_showing_at_random_gave_is_within_what_the_other_log_says_of_it(
    by_chance: LoggedDecisions, by_thompson: LoggedDecisions
) -> None:
    found = evaluate_policy(by_thompson, Contender.ready(Uniform()))
    given = by_chance.reward.mean()

    for one in found.values:
        assert one.value.ci_low is not None
        assert one.value.ci_high is not None
        assert one.value.ci_low < given < one.value.ci_high


def test_what_thompson_sampling_gave_is_within_what_the_random_log_says_of_it(
    by_chance: LoggedDecisions, by_thompson: LoggedDecisions, often_shown: Table
) -> None:
    found = evaluate_policy(by_chance, Contender.ready(often_shown))
    given = by_thompson.reward.mean()

    for one in found.values:
        assert one.value.ci_low is not None
        assert one.value.ci_high is not None
        assert one.value.ci_low < given < one.value.ci_high

"""A policy judged on logged decisions: its value, whether the log can tell, the verdict.

Belongs here: what is learnt on which rows, diagnostics, and when nothing may be concluded.
Not here: the estimators' arithmetic, and words for a terminal (`report`).

A policy that learns is judged on rows that it did not learn from: units are cut into folds,
and each fold is judged by what the others taught. So is the reward model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from nearline.bandits.estimators import (
    PolicyValue,
    Weighed,
    bernstein_interval,
    effective_count,
    estimate_values,
    mean_of,
    standard_error,
)
from nearline.bandits.logged import LoggedDecisions
from nearline.bandits.reward_model import expected_rewards
from nearline.errors import InputError
from nearline.estimates import Estimate

if TYPE_CHECKING:
    from nearline.bandits.logged import Flags, Numbers
    from nearline.bandits.policies import Policy

FOLD_COUNT = 5

LEAST_EFFECTIVE_COUNT = 100
"""Of decisions: below, a few decide, and normal intervals hold the truth too seldom."""

LEAST_OUTCOME_COUNT = 10
"""Effective decisions with a reward, for the same reason where rewards are rare."""

LEAST_UNIT_COUNT = 30
"""Units: errors are computed between them."""

MOST_NEVER_SHOWN = 0.05
"""Of what the policy would choose: more, and the model alone speaks for it."""

ALARM_P_VALUE = 0.001
"""As for sample ratios: rare enough to be looked at every day."""


class Problem(StrEnum):
    """Why nothing can be concluded; `report` knows what to do about each."""

    NO_DECISIONS = "no_decisions"
    TOO_FEW_UNITS = "too_few_units"
    NEVER_SHOWN = "never_shown"
    TOO_FEW_EFFECTIVE = "too_few_effective"
    TOO_FEW_OUTCOMES = "too_few_outcomes"
    ODDS_DO_NOT_FIT = "odds_do_not_fit"


@dataclass(frozen=True, slots=True)
class Contender:
    """A policy to be judged: one that is ready, or one that is to be learnt."""

    name: str
    learn: "Callable[[LoggedDecisions], Policy]"
    is_learnt: bool

    @classmethod
    def ready(cls, policy: "Policy") -> "Contender":
        return cls(policy.name, lambda _: policy, False)


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """Whether the log can tell.

    `effective_count` of decisions and `effective_outcome_count` of those with a reward
    are what the weights leave. `never_shown_share` is that of what the policy would choose
    which no decision of that context ever chose. Where the logged odds are true,
    `mean_weight` is 1 less that share, but for chance; `mean_weight_p_value` says how
    likely it is to lie as far off. `odds_error` bounds how far the policy's own odds may be
    off, where they are computed numerically.
    """

    decision_count: int
    unit_count: int
    effective_count: float
    effective_outcome_count: float
    largest_weight: float
    mean_weight: float
    mean_weight_p_value: float | None
    never_shown_share: float
    clipped_share: float
    least_probability: float
    odds_error: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of a policy. `values` are there whenever they can be computed; a
    `problem` says that nothing may be concluded from them."""

    policy: str
    logged: Estimate
    values: tuple[PolicyValue, ...]
    diagnostics: Diagnostics | None
    problem: Problem | None
    left_out: Mapping[str, int]

    @property
    def headline(self) -> PolicyValue | None:
        return self.values[0] if self.values else None


def evaluate_policy(
    decisions: LoggedDecisions,
    contender: Contender,
    *,
    clip: float | None = None,
    least_probability: float | None = None,
    seed: int = 0,
) -> Evaluation:
    """Judge `contender` on `decisions`.

    Args:
        clip: weights above it count as it: less variance, and a bias.
        least_probability: below which no choice was ever drawn, by design of what
            logged; with it, and one decision a unit, rewards from 0 to 1 get an interval
            that holds for any number of decisions.
        seed: of folds and resamples.

    Raises:
        InputError: a logged probability is below `least_probability`.
    """
    if not len(decisions):
        nothing = Estimate(None, None, None)
        return Evaluation(
            contender.name, nothing, (), None, Problem.NO_DECISIONS, decisions.left_out
        )
    lowest = float(decisions.probability.min())
    if least_probability is not None and lowest < least_probability * (1 - 1e-9):
        raise InputError(
            f"a choice was logged with odds of {lowest:g}, below the least of "
            f"{least_probability:g}; give the true least, or leave it out"
        )
    judged = _judge(decisions, contender, seed)
    weight = judged.odds / decisions.probability
    clipped = weight if clip is None else np.minimum(weight, clip)
    values = estimate_values(
        Weighed(
            clipped,
            decisions.reward,
            judged.predicted,
            judged.predicted_of_policy,
            decisions.unit,
        ),
        seed,
    )
    diagnostics = Diagnostics(
        decision_count=len(decisions),
        unit_count=len(np.unique(decisions.unit)),
        effective_count=effective_count(clipped),
        effective_outcome_count=effective_count(np.abs(clipped * decisions.reward)),
        largest_weight=float(weight.max()),
        mean_weight=float(weight.mean()),
        mean_weight_p_value=_p_value_of_weights(weight + judged.never_shown, decisions),
        never_shown_share=float(judged.never_shown.mean()),
        clipped_share=float((clipped < weight).mean()),
        least_probability=lowest,
        odds_error=judged.odds_error,
    )
    if least_probability is not None:
        values = _with_bernstein(
            values, clipped, decisions, diagnostics, least_probability
        )
    return Evaluation(
        contender.name,
        mean_of(decisions.reward, decisions.unit),
        values,
        diagnostics,
        _problem(diagnostics),
        decisions.left_out,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """A value a row, each from what other folds taught."""

    odds: "Numbers"
    predicted: "Numbers"
    predicted_of_policy: "Numbers"
    never_shown: "Numbers"
    odds_error: float


def _judge(decisions: LoggedDecisions, contender: Contender, seed: int) -> _Judged:
    situations = decisions.situations
    unit_fold = np.random.default_rng(seed).permutation(decisions.unit_count)
    fold = (unit_fold % FOLD_COUNT)[decisions.unit]
    was_shown = np.zeros(
        (len(situations.contexts), len(situations.actions)), dtype=bool
    )
    was_shown[decisions.context, decisions.action] = True
    found = {name: np.zeros(len(decisions)) for name in _ROW_VALUES}
    error = 0.0
    policy_odds = None
    for number in range(FOLD_COUNT):
        rows: Flags = fold == number
        if not rows.any():
            continue
        others = decisions.where(~rows)
        if policy_odds is None or contender.is_learnt:
            policy_odds = contender.learn(others).odds(situations)
        rewards = expected_rewards(others)
        odds = policy_odds.values
        error = max(error, policy_odds.error)
        at = decisions.situation[rows]
        action = decisions.action[rows]
        by_situation = {
            "predicted_of_policy": (odds * rewards[situations.context]).sum(axis=1),
            "never_shown": (odds * ~was_shown[situations.context]).sum(axis=1),
        }
        found["odds"][rows] = odds[at, action]
        found["predicted"][rows] = rewards[situations.context[at], action]
        for name, values in by_situation.items():
            found[name][rows] = values[at]
    return _Judged(**found, odds_error=error)


_ROW_VALUES = ("odds", "predicted", "predicted_of_policy", "never_shown")


def _p_value_of_weights(weight: "Numbers", decisions: LoggedDecisions) -> float | None:
    """Two-sided, of a mean of 1; None where they do not vary."""
    from scipy.special import ndtr

    mean = float(weight.mean())
    error = standard_error(weight - mean, decisions.unit)
    if not error > 0:
        return None
    return float(2 * ndtr(-abs(mean - 1) / error))


def _with_bernstein(
    values: tuple[PolicyValue, ...],
    clipped: "Numbers",
    decisions: LoggedDecisions,
    diagnostics: Diagnostics,
    least_probability: float,
) -> tuple[PolicyValue, ...]:
    """The bound for inverse propensity, where its conditions hold; else as they are."""
    reward = decisions.reward
    if (
        diagnostics.unit_count < diagnostics.decision_count
        or diagnostics.clipped_share > 0
        or reward.min() < 0
        or reward.max() > 1
    ):
        return values
    bound = bernstein_interval(clipped * reward, 1 / least_probability)
    return tuple(
        PolicyValue(one.estimator, one.value, one.resampled, one.change, bound)
        if one.estimator == "ips"
        else one
        for one in values
    )


def _problem(diagnostics: Diagnostics) -> Problem | None:
    if diagnostics.unit_count < LEAST_UNIT_COUNT:
        return Problem.TOO_FEW_UNITS
    if diagnostics.never_shown_share > MOST_NEVER_SHOWN:
        return Problem.NEVER_SHOWN
    if diagnostics.effective_count < LEAST_EFFECTIVE_COUNT:
        return Problem.TOO_FEW_EFFECTIVE
    # Before rare rewards: wrong odds are worse news than few decisions.
    p_value = diagnostics.mean_weight_p_value
    if p_value is not None and p_value < ALARM_P_VALUE:
        return Problem.ODDS_DO_NOT_FIT
    if diagnostics.effective_outcome_count < LEAST_OUTCOME_COUNT:
        return Problem.TOO_FEW_OUTCOMES
    return None

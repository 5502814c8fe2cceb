"""Off-policy values on a slot whose truth is known: bias, coverage, and what is learnt.

Binomial bounds are at 1e-6 a side, as of the experiments' error rates.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from nearline.bandits.estimators import bernstein_interval
from nearline.bandits.evaluation import Contender, Evaluation, Problem, evaluate_policy
from nearline.bandits.outcomes import Outcomes, count_outcomes
from nearline.bandits.policies import EpsilonGreedy, Policy, Table, Thompson, Uniform
from tests.logged_slot import (
    ACTIONS,
    CLICK_RATES,
    CONTEXTS,
    SITUATIONS,
    log_decisions,
    true_value,
)

REPEAT_COUNT = 250

# Other than the log in each context, and random enough to be drawn.
JUDGED = Table(
    {
        "loyal": {"a": 0.7, "b": 0.1, "c": 0.1, "d": 0.1},
        "new": {"a": 0.1, "b": 0.1, "c": 0.7, "d": 0.1},
    }
)


@pytest.fixture(scope="module")
def judged() -> list[Evaluation]:
    return [
        evaluate_policy(
            log_decisions(np.random.default_rng(seed), 400),
            Contender.ready(JUDGED),
            seed=seed,
        )
        for seed in range(REPEAT_COUNT)
    ]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["dr", "snips", "ips"])
def test_values_have_no_bias_and_intervals_hold_the_truth_as_often_as_they_say(
    judged: list[Evaluation], place: int
) -> None:
    truth = true_value(JUDGED)
    found = [evaluation.values[place] for evaluation in judged]
    errors = np.array([one.value.value for one in found]) - truth
    noise = errors.std() / np.sqrt(REPEAT_COUNT)
    low, high = binom.ppf([1e-6, 1 - 1e-6], REPEAT_COUNT, 0.95) / REPEAT_COUNT

    # Self-normalized values have a bias of the order of 1 / n.
    assert abs(errors.mean()) < 4.9 * noise
    for estimates in ([one.value for one in found], [one.resampled for one in found]):
        covered = np.mean([one.ci_low <= truth <= one.ci_high for one in estimates])
        assert low <= covered <= high


def test_the_interval_of_the_change_holds_the_true_change(
    judged: list[Evaluation],
) -> None:
    logged = log_decisions(np.random.default_rng(99), 100_000).reward.mean()
    truth = true_value(JUDGED) - logged
    covered = np.mean(
        [
            one.headline.change.ci_low <= truth <= one.headline.change.ci_high  # type: ignore[union-attr]
            for one in judged
        ]
    )
    low, high = binom.ppf([1e-6, 1 - 1e-6], REPEAT_COUNT, 0.95) / REPEAT_COUNT
    assert low <= covered <= high


def test_true_odds_hardly_ever_raise_the_alarm(judged: list[Evaluation]) -> None:
    alarms = sum(one.problem is Problem.ODDS_DO_NOT_FIT for one in judged)
    assert alarms <= binom.ppf(1 - 1e-6, REPEAT_COUNT, 0.002)


def test_the_bound_for_any_number_holds_where_the_normal_interval_does_not() -> None:
    """A click in a hundred, weighed by 0 or 10: thirty draws are mostly zeros."""
    rng = np.random.default_rng(3)
    truth = 0.01
    values = 10.0 * (rng.random((2_000, 60)) < 0.1) * (rng.random((2_000, 60)) < truth)
    held = []
    for row in values:
        bound = bernstein_interval(row, 10.0)
        assert bound.ci_low is not None
        assert bound.ci_high is not None
        held.append(bound.ci_low <= truth <= bound.ci_high)
    errors = values.std(axis=1, ddof=1) / np.sqrt(60)

    assert np.mean(held) >= 0.95
    assert np.mean(np.abs(values.mean(axis=1) - truth) <= 2 * errors) < 0.5


LEARNERS: list[tuple[str, Callable[[Outcomes], Policy]]] = [
    ("epsilon-greedy", lambda outcomes: EpsilonGreedy(outcomes, 0.1)),
    ("thompson", lambda outcomes: Thompson(outcomes, 0.1)),
]


@pytest.mark.parametrize(
    "make", [make for _, make in LEARNERS], ids=[name for name, _ in LEARNERS]
)
def test_a_policy_that_learns_from_its_own_log_ends_with_the_best_and_is_told_its_worth(
    make: Callable[[Outcomes], Policy],
) -> None:
    """Twenty rounds: decide by what is known, log the odds, learn from what came of it."""
    rng = np.random.default_rng(11)
    known = Outcomes({})
    for _ in range(20):
        decisions = log_decisions(rng, 200, make(known).odds(SITUATIONS).values)
        known = known + count_outcomes(decisions)
    learnt = make(known)

    # All but the share that chance has.
    best = learnt.odds(SITUATIONS).values[[0, 1], CLICK_RATES.argmax(axis=1)]
    assert ACTIONS[CLICK_RATES[CONTEXTS.index("loyal")].argmax()] == "a"
    assert best.min() > 0.9
    assert true_value(learnt) > 0.9 * CLICK_RATES.max(axis=1).mean()

    # On a log of another policy, that it did not learn from.
    found = evaluate_policy(log_decisions(rng, 3_000), Contender.ready(learnt))
    assert found.problem is None
    for one in found.values:
        assert one.value.ci_low is not None
        assert one.value.ci_high is not None
        assert one.value.ci_low < true_value(learnt) < one.value.ci_high

    # And the log of its first round, all alike, tells what no policy at all is worth.
    first = log_decisions(rng, 3_000, make(Outcomes({})).odds(SITUATIONS).values)
    unlearnt = evaluate_policy(first, Contender.ready(Uniform())).values[0].value
    assert unlearnt.ci_low is not None
    assert unlearnt.ci_high is not None
    assert unlearnt.ci_low < true_value(Uniform()) < unlearnt.ci_high


def test_what_is_learnt_is_not_judged_by_what_it_was_learnt_from() -> None:
    """Where nothing is better than anything, luck is not taken for worth.

    Learning on all rows and judging on the same would find 'the best' better by far.
    """
    lucky, honest = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        decisions = log_decisions(rng, 150, np.full((2, 4), 0.25))
        # Clicks that have nothing to do with what was shown.
        shuffled = rng.permutation(decisions.reward)
        decisions = type(decisions)(
            decisions.situations,
            decisions.situation,
            decisions.action,
            decisions.probability,
            shuffled,
            decisions.unit,
        )
        learn = Contender(
            "greedy", lambda rows: EpsilonGreedy(count_outcomes(rows), 0.0), True
        )
        seen = Contender.ready(EpsilonGreedy(count_outcomes(decisions), 0.0))
        honest.append(evaluate_policy(decisions, learn).values[2].change.value)
        lucky.append(evaluate_policy(decisions, seen).values[2].change.value)

    noise = np.std(honest) / np.sqrt(len(honest))
    assert abs(np.mean(honest)) < 4 * noise
    assert np.mean(lucky) > 4 * noise

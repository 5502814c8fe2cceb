"""Intervals against independent arithmetic: scipy, and numpy on the single persons."""

import math

import numpy as np
import pytest
from scipy import stats

from nearline.dashboards.statistics import (
    CURRENT,
    PREVIOUS,
    PersonMoments,
    change_of_ratio,
    change_of_total,
    mean_interval,
    wilson_interval,
)
from nearline.experiments.statistics import SufficientStatistics

MEASURES = [
    ("bought", CURRENT),
    ("bought", PREVIOUS),
    ("sessions", CURRENT),
    ("sessions", PREVIOUS),
]


def moments_of(persons: np.ndarray) -> PersonMoments:
    """Moments of rows (bought now, bought before, sessions now, sessions before)."""
    products = persons.T @ persons
    return PersonMoments(
        person_count=len(persons),
        totals=dict(zip(MEASURES, persons.sum(axis=0), strict=True)),
        products={
            (one, other): products[row, column]
            for row, one in enumerate(MEASURES)
            for column, other in enumerate(MEASURES)
            if column >= row
        },
    )


def shop(seed: int, person_count: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    taste = rng.beta(2, 8, person_count)
    sessions = rng.poisson(2.0, (2, person_count))
    bought = rng.binomial(sessions, taste)
    return np.column_stack([*bought, *sessions]).astype(float)


@pytest.mark.parametrize(
    ("success_count", "trial_count"), [(10, 100), (1, 7), (0, 40), (40, 40), (1, 1)]
)
def test_wilson_interval_equals_scipys(success_count: int, trial_count: int) -> None:
    interval = wilson_interval(success_count, trial_count)
    oracle = stats.binomtest(success_count, trial_count).proportion_ci(method="wilson")
    assert interval is not None
    assert interval.low == pytest.approx(oracle.low, abs=1e-12)
    assert interval.high == pytest.approx(oracle.high, abs=1e-12)
    assert interval.low <= success_count / trial_count <= interval.high


def test_a_rate_of_no_trials_has_no_interval() -> None:
    assert wilson_interval(0, 0) is None


def test_mean_interval_equals_scipys() -> None:
    values = np.array([10.0, 40.0, 35.0, 80.0, 22.5])
    interval = mean_interval(
        SufficientStatistics(5, values.sum(), float((values**2).sum()))
    )
    low, high = stats.norm.interval(0.95, values.mean(), stats.sem(values))
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((low, high))


def test_a_mean_of_one_value_has_no_interval() -> None:
    assert mean_interval(SufficientStatistics(1, 5.0, 25.0)) is None


def test_change_of_a_ratio_takes_persons_as_the_units() -> None:
    persons = shop(seed=5)
    bought, bought_before, sessions, sessions_before = persons.T
    rate = bought.sum() / sessions.sum()
    rate_before = bought_before.sum() / sessions_before.sum()
    influence = (bought - rate * sessions) / sessions.sum() - (
        bought_before - rate_before * sessions_before
    ) / sessions_before.sum()
    half_width = stats.norm.ppf(0.975) * math.sqrt((influence**2).sum())

    change = change_of_ratio(
        moments_of(persons), "bought", "sessions", is_proportion=True
    )

    assert change is not None
    assert change.interval is not None
    assert change.estimate == pytest.approx(rate - rate_before)
    assert change.interval.low == pytest.approx(change.estimate - half_width)
    assert change.interval.high == pytest.approx(change.estimate + half_width)


def test_five_sessions_of_one_person_do_not_count_as_five_persons() -> None:
    # Half of all sessions buy, and whoever buys once buys always.
    strangers = np.tile([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]], (100, 1))
    regulars = 5 * strangers[:40]
    widths = []
    for persons in (strangers, regulars):
        change = change_of_ratio(
            moments_of(persons), "bought", "sessions", is_proportion=False
        )
        assert change is not None
        assert change.interval is not None
        assert change.estimate == 0.5
        widths.append(change.interval.high - change.interval.low)
    assert widths[1] == pytest.approx(widths[0] * math.sqrt(5))


def test_change_of_a_total_is_relative() -> None:
    persons = shop(seed=6)
    change = change_of_total(moments_of(persons), "sessions")
    now, before = persons[:, 2].sum(), persons[:, 3].sum()
    assert change is not None
    assert change.interval is not None
    assert change.estimate == pytest.approx(now / before - 1)
    assert change.interval.low < change.estimate < change.interval.high


def test_too_few_purchases_give_a_change_without_an_interval() -> None:
    persons = shop(seed=7)
    persons[:, 0] = 0
    persons[:4, 0] = persons[:4, 2] = 1
    change = change_of_ratio(
        moments_of(persons), "bought", "sessions", is_proportion=True
    )
    assert change is not None
    assert change.interval is None
    assert not change.is_noise


def test_too_few_persons_give_a_change_without_an_interval() -> None:
    change = change_of_total(moments_of(shop(seed=8, person_count=29)), "sessions")
    assert change is not None
    assert change.interval is None


def test_nothing_before_gives_no_change() -> None:
    persons = shop(seed=9)
    persons[:, 1] = persons[:, 3] = 0
    moments = moments_of(persons)
    assert change_of_total(moments, "sessions") is None
    assert change_of_ratio(moments, "bought", "sessions", is_proportion=True) is None

"""Simulated error rates of the experiment inference: false positives and coverage.

Binomial bounds are at 1e-6 a side: a seed may be changed without luck being needed, and
a false positive rate of 0.065 for 0.05 is still seen.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from nearline.experiments import (
    Comparison,
    SufficientStatistics,
    compare_means,
    compare_proportions,
    srm_p_value,
)

Draw = Callable[["np.random.Generator", float, int], SufficientStatistics]
Compare = Callable[[SufficientStatistics, SufficientStatistics], Comparison]

REPEAT_COUNT = 10_000


def draw_conversions(
    rng: "np.random.Generator", mean: float, unit_count: int
) -> SufficientStatistics:
    count = int(rng.binomial(unit_count, mean))
    return SufficientStatistics(unit_count, count, count)


def draw_revenue(
    rng: "np.random.Generator", mean: float, unit_count: int
) -> SufficientStatistics:
    """A fifth buys, at a skewed price: zero-inflated, as revenue per visitor is."""
    buys = rng.random(unit_count) < 0.2
    values = np.where(buys, rng.gamma(2.0, mean / 0.4, unit_count), 0.0)
    return SufficientStatistics(
        unit_count, float(values.sum()), float((values**2).sum())
    )


CASES = [
    pytest.param(draw_conversions, compare_proportions, 0.10, 0.13, id="proportion"),
    pytest.param(draw_revenue, compare_means, 800.0, 1000.0, id="mean"),
]


def binomial_bounds(repeat_count: int, rate: float) -> tuple[float, float]:
    low, high = binom.ppf([1e-6, 1 - 1e-6], repeat_count, rate)
    return low / repeat_count, high / repeat_count


@pytest.mark.parametrize(("draw", "compare", "control_mean", "_variant_mean"), CASES)
def test_false_positive_rate_of_equal_arms_is_the_nominal_one(
    draw: Draw, compare: Compare, control_mean: float, _variant_mean: float
) -> None:
    rng = np.random.default_rng(20_260_301)
    comparisons = [
        compare(draw(rng, control_mean, 1500), draw(rng, control_mean, 1200))
        for _ in range(REPEAT_COUNT)
    ]
    low, high = binomial_bounds(REPEAT_COUNT, 0.05)
    by_p_value = np.mean([c.p_value < 0.05 for c in comparisons])  # type: ignore[operator]
    by_interval = np.mean([not c.ci_low <= 0 <= c.ci_high for c in comparisons])  # type: ignore[operator]
    assert low <= by_p_value <= high
    assert low <= by_interval <= high


@pytest.mark.parametrize(("draw", "compare", "control_mean", "variant_mean"), CASES)
def test_intervals_cover_the_true_effect_as_often_as_they_say(
    draw: Draw, compare: Compare, control_mean: float, variant_mean: float
) -> None:
    rng = np.random.default_rng(20_260_302)
    comparisons = [
        compare(draw(rng, variant_mean, 1500), draw(rng, control_mean, 1200))
        for _ in range(REPEAT_COUNT)
    ]
    effect = variant_mean - control_mean
    lift = variant_mean / control_mean - 1
    low, high = binomial_bounds(REPEAT_COUNT, 0.95)
    covered = np.mean([c.ci_low <= effect <= c.ci_high for c in comparisons])  # type: ignore[operator]
    lift_covered = np.mean(
        [c.relative_ci_low <= lift <= c.relative_ci_high for c in comparisons]  # type: ignore[operator]
    )
    assert low <= covered <= high
    assert low <= lift_covered <= high


def test_the_sample_ratio_alarm_is_as_rare_as_it_says_and_sees_a_real_loss() -> None:
    rng = np.random.default_rng(20_260_303)
    unit_count = 20_000
    fair = rng.binomial(unit_count, 0.5, 20_000)
    alarms = np.mean([_alarms(int(count), unit_count) for count in fair])
    low, high = binomial_bounds(len(fair), 0.001)
    assert low <= alarms <= high
    lossy = rng.binomial(unit_count, 0.48, 500)
    assert np.mean([_alarms(int(count), unit_count) for count in lossy]) > 0.95


def _alarms(treatment_count: int, unit_count: int) -> bool:
    counts = {"treatment": treatment_count, "control": unit_count - treatment_count}
    p_value = srm_p_value(counts)
    assert p_value is not None
    return p_value < 0.001

"""Estimates and errors against hand-derived values, plain loops and other libraries."""

import math

import numpy as np
import pytest
import statsmodels.api as sm

from nearline.bandits.estimators import (
    Weighed,
    bernstein_interval,
    effective_count,
    estimate_values,
    mean_of,
)

# Four decisions of three visitors.
WEIGHED = Weighed(
    weight=np.array([2.0, 0.5, 0.0, 1.0]),
    reward=np.array([1.0, 1.0, 1.0, 0.0]),
    predicted=np.array([0.5, 0.5, 0.25, 0.25]),
    predicted_of_policy=np.array([0.4, 0.4, 0.3, 0.3]),
    unit=np.array([0, 0, 1, 2]),
)


def test_values_are_those_worked_out_by_hand() -> None:
    dr, snips, ips = estimate_values(WEIGHED, seed=1)

    # Weighted rewards 2, 0.5, 0, 0; weights add up to 3.5.
    assert ips.value.value == pytest.approx(2.5 / 4)
    assert snips.value.value == pytest.approx(2.5 / 3.5)
    # 0.4 + 2 * 0.5, 0.4 + 0.5 * 0.5, 0.3 + 0, 0.3 - 0.25.
    assert dr.value.value == pytest.approx((1.4 + 0.65 + 0.3 + 0.05) / 4)
    assert [one.estimator for one in (dr, snips, ips)] == ["dr", "snips", "ips"]
    # Three of four were clicked.
    assert ips.change.value == pytest.approx(2.5 / 4 - 3 / 4)


@pytest.fixture(scope="module")
def weighed() -> Weighed:
    rng = np.random.default_rng(3)
    count = 600
    return Weighed(
        weight=rng.gamma(1.0, 1.0, count),
        reward=(rng.random(count) < 0.3).astype(float),
        predicted=rng.random(count),
        predicted_of_policy=rng.random(count),
        unit=np.sort(rng.integers(0, 150, count)),
    )


def test_the_interval_of_a_mean_is_that_of_a_regression_with_clustered_errors(
    weighed: Weighed,
) -> None:
    ips = estimate_values(weighed, seed=1)[2]
    values = weighed.weight * weighed.reward
    units = len(np.unique(weighed.unit))
    # The library's own correction has a factor of rows beside that of units.
    theirs = sm.OLS(values, np.ones_like(values)).fit(
        cov_type="cluster",
        cov_kwds={"groups": weighed.unit, "df_correction": True},
        use_t=True,
    )

    low, high = theirs.conf_int()[0]
    assert units == 150 - sum(np.bincount(weighed.unit, minlength=150) == 0)
    assert (ips.value.ci_low, ips.value.ci_high) == pytest.approx((low, high), rel=1e-3)


def test_the_error_of_a_ratio_is_what_leaving_each_visitor_out_says(
    weighed: Weighed,
) -> None:
    """Delta method against the jackknife over visitors."""
    snips = estimate_values(weighed, seed=1)[1]
    above, below = weighed.weight * weighed.reward, weighed.weight
    left = [
        above[weighed.unit != unit].sum() / below[weighed.unit != unit].sum()
        for unit in np.unique(weighed.unit)
    ]
    count = len(left)
    jackknife = math.sqrt((count - 1) / count * ((left - np.mean(left)) ** 2).sum())

    assert snips.value.ci_high is not None
    assert snips.value.value is not None
    half = snips.value.ci_high - snips.value.value
    assert half / 1.976 == pytest.approx(jackknife, rel=0.05)


def test_the_bootstrap_agrees_with_the_normal_interval_on_many_visitors(
    weighed: Weighed,
) -> None:
    for one in estimate_values(weighed, seed=1):
        width = one.value.ci_high - one.value.ci_low  # type: ignore[operator]
        assert one.resampled.ci_low == pytest.approx(one.value.ci_low, abs=0.15 * width)
        assert one.resampled.ci_high == pytest.approx(
            one.value.ci_high, abs=0.15 * width
        )


def test_rows_of_one_visitor_say_less_than_rows_of_many() -> None:
    values = np.tile([0.0, 1.0, 1.0, 0.0], 50)
    alone = mean_of(values, np.arange(200))
    # The same rows, each visitor's four alike.
    together = mean_of(np.repeat([0.0, 1.0, 1.0, 0.0], 50), np.repeat(np.arange(50), 4))

    assert alone.value == together.value == 0.5
    assert alone.ci_high is not None
    assert together.ci_high is not None
    assert together.ci_high - 0.5 > 1.8 * (alone.ci_high - 0.5)


def test_a_single_visitor_gives_a_value_and_no_interval() -> None:
    found = mean_of(np.array([1.0, 0.0]), np.array([0, 0]))
    assert (found.value, found.ci_low, found.ci_high) == (0.5, None, None)


def test_effective_count_is_kishs() -> None:
    # (2 + 0.5 + 1) squared over 4 + 0.25 + 1.
    assert effective_count(WEIGHED.weight) == pytest.approx(12.25 / 5.25)
    assert effective_count(np.ones(7)) == pytest.approx(7)
    assert effective_count(np.zeros(7)) == 0


def test_the_bound_for_any_number_is_that_of_maurer_and_pontil() -> None:
    values = np.array([0.0, 4.0, 0.0, 0.0])
    found = bernstein_interval(values, largest=10.0)

    # Mean 1, variance 4; both ends at 2.5 %: ln(2 / 0.025).
    log_term = math.log(80)
    half = math.sqrt(2 * 4 * log_term / 4) + 7 * 10 * log_term / (3 * 3)
    assert found.value == 1
    assert found.ci_low == 0
    assert found.ci_high == pytest.approx(1 + half)

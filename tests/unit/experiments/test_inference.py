"""Comparisons against scipy and statsmodels as independent oracles; named problems."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, ttest_ind_from_stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from nearline.errors import InputError
from nearline.experiments import (
    Comparison,
    Problem,
    SufficientStatistics,
    compare,
    compare_means,
    compare_proportions,
    homogeneity_p_value,
)

CLOSE = 1e-9


def statistics_of(values: "np.ndarray") -> SufficientStatistics:
    return SufficientStatistics(
        len(values), float(values.sum()), float((values**2).sum())
    )


def rate(success_count: int, unit_count: int) -> SufficientStatistics:
    return SufficientStatistics(unit_count, success_count, success_count)


def numbers(comparison: Comparison) -> tuple[float | None, ...]:
    return (
        comparison.estimate,
        comparison.ci_low,
        comparison.ci_high,
        comparison.p_value,
        comparison.relative_lift,
        comparison.relative_ci_low,
        comparison.relative_ci_high,
    )


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(
    ("sizes", "spreads", "shift"),
    [((2, 3), (1.0, 2.0), 0.0), ((40, 500), (9.0, 1.0), 2.0), ((900, 30), (1, 5), -1)],
)
def test_means_agree_with_statsmodels_and_scipy_welch(
    level: float,
    sizes: tuple[int, int],
    spreads: tuple[float, float],
    shift: float,
) -> None:
    rng = np.random.default_rng(11)
    variant = rng.normal(10 + shift, spreads[0], sizes[0])
    control = rng.normal(10, spreads[1], sizes[1])
    ours = compare_means(statistics_of(variant), statistics_of(control), level)
    oracle = CompareMeans(DescrStatsW(variant), DescrStatsW(control))
    low, high = oracle.tconfint_diff(alpha=1 - level, usevar="unequal")
    test = ttest_ind_from_stats(
        variant.mean(),
        variant.std(ddof=1),
        len(variant),
        control.mean(),
        control.std(ddof=1),
        len(control),
        equal_var=False,
    )
    assert ours.method == "welch_t"
    assert ours.problem is None
    assert ours.estimate == pytest.approx(
        variant.mean() - control.mean(), rel=CLOSE, abs=CLOSE
    )
    assert (ours.ci_low, ours.ci_high) == pytest.approx(
        (low, high), rel=CLOSE, abs=CLOSE
    )
    assert ours.p_value == pytest.approx(test.pvalue, rel=CLOSE, abs=CLOSE)
    assert ours.p_value == pytest.approx(
        oracle.ttest_ind(usevar="unequal")[1], rel=CLOSE, abs=CLOSE
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(20, 100_000),
    st.integers(20, 100_000),
    st.floats(0.05, 0.95),
    st.floats(0.05, 0.95),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_proportions_agree_with_statsmodels(
    unit_count: int,
    control_unit_count: int,
    share: float,
    control_share: float,
    level: float,
) -> None:
    count = max(1, int(unit_count * share))
    control_count = max(1, int(control_unit_count * control_share))
    ours = compare_proportions(
        rate(count, unit_count), rate(control_count, control_unit_count), level
    )
    low, high = confint_proportions_2indep(
        count,
        unit_count,
        control_count,
        control_unit_count,
        method="wald",
        compare="diff",
        alpha=1 - level,
    )
    _, p_value = proportions_ztest(
        [count, control_count], [unit_count, control_unit_count]
    )
    assert ours.method == "two_proportion_z"
    assert (ours.ci_low, ours.ci_high) == pytest.approx(
        (low, high), rel=CLOSE, abs=CLOSE
    )
    assert ours.p_value == pytest.approx(p_value, rel=CLOSE, abs=CLOSE)


def test_the_p_value_is_pooled_and_the_interval_is_not() -> None:
    # By hand: rates 0.10 and 0.05 of 1000 each; pooled 0.075.
    ours = compare_proportions(rate(100, 1000), rate(50, 1000))
    unpooled = math.sqrt(0.1 * 0.9 / 1000 + 0.05 * 0.95 / 1000)
    pooled = math.sqrt(0.075 * 0.925 * 2 / 1000)
    assert ours.ci_high == pytest.approx(0.05 + 1.959963984540054 * unpooled)
    assert ours.p_value == pytest.approx(math.erfc(0.05 / pooled / math.sqrt(2)))


def test_relative_lift_and_its_interval_follow_the_delta_method() -> None:
    # By hand: var(a/b) ~ var(a)/b^2 + a^2 var(b)/b^4, the gradient of the ratio.
    ours = compare_proportions(rate(120, 1000), rate(100, 1000))
    error = math.sqrt(
        0.12 * 0.88 / 1000 / 0.1**2 + 0.12**2 * (0.1 * 0.9 / 1000) / 0.1**4
    )
    assert ours.relative_lift == pytest.approx(0.2)
    assert ours.relative_ci_low == pytest.approx(0.2 - 1.959963984540054 * error)
    assert ours.relative_ci_high == pytest.approx(0.2 + 1.959963984540054 * error)


def test_relative_lift_interval_covers_as_a_simulation_of_the_ratio_does() -> None:
    rng = np.random.default_rng(5)
    variant = rng.exponential(12, 4000)
    control = rng.exponential(10, 4000)
    ours = compare_means(statistics_of(variant), statistics_of(control))
    resampled = [
        rng.choice(variant, 4000).mean() / rng.choice(control, 4000).mean() - 1
        for _ in range(2000)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    assert ours.relative_ci_low == pytest.approx(low, abs=0.005)
    assert ours.relative_ci_high == pytest.approx(high, abs=0.005)


def test_lift_is_withheld_where_the_control_mean_may_be_zero() -> None:
    variant = SufficientStatistics(100, 200.0, 40_000.0)
    control = SufficientStatistics(100, 10.0, 40_000.0)
    ours = compare_means(variant, control)
    assert ours.estimate == pytest.approx(1.9)
    assert (ours.relative_lift, ours.relative_ci_low) == (None, None)


@given(st.integers(2, 500), st.integers(2, 500), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_swapping_the_arms_mirrors_estimate_and_interval(
    unit_count: int, control_unit_count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    variant = statistics_of(rng.normal(5, 2, unit_count))
    control = statistics_of(rng.normal(5, 3, control_unit_count))
    there, back = compare_means(variant, control), compare_means(control, variant)
    assert there.estimate == -back.estimate  # type: ignore[operator]
    assert there.ci_low == pytest.approx(-back.ci_high)  # type: ignore[operator]
    assert there.p_value == pytest.approx(back.p_value)


def test_chi_square_agrees_with_scipy_and_of_two_arms_with_the_z_test() -> None:
    arms = [rate(50, 1000), rate(64, 900), rate(41, 1200)]
    table = [[arm.value_sum, arm.unit_count - arm.value_sum] for arm in arms]
    assert homogeneity_p_value(arms) == pytest.approx(
        chi2_contingency(table, correction=False).pvalue, rel=CLOSE
    )
    assert homogeneity_p_value([*arms, rate(0, 0)]) == homogeneity_p_value(arms)
    assert homogeneity_p_value(arms[:2]) == pytest.approx(
        compare_proportions(arms[0], arms[1]).p_value, rel=CLOSE
    )


@pytest.mark.parametrize(
    "arms",
    [
        [],
        [rate(5, 10)],
        [rate(0, 10), rate(0, 20)],
        [rate(10, 10), rate(20, 20)],
        [rate(5, 10), SufficientStatistics(10, 50.0, 900.0)],
        [rate(5, 10), SufficientStatistics(10, math.nan, 5.0)],
    ],
)
def test_chi_square_of_nothing_to_compare_is_nothing(
    arms: list[SufficientStatistics],
) -> None:
    assert homogeneity_p_value(arms) is None


FINE = SufficientStatistics(100, 50.0, 50.0)


@pytest.mark.parametrize("metric_kind", ["mean", "proportion"])
@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        (SufficientStatistics(0, 0.0, 0.0), Problem.EMPTY_ARM),
        (SufficientStatistics(1, 1.0, 1.0), Problem.TOO_FEW_UNITS),
        (SufficientStatistics(100, math.nan, 50.0), Problem.NOT_A_NUMBER),
        (SufficientStatistics(100, 50.0, math.inf), Problem.NOT_A_NUMBER),
        (SufficientStatistics(-1, 0.0, 0.0), Problem.NEGATIVE_COUNT),
        (SufficientStatistics(100, 50.0, -50.0), Problem.NEGATIVE_SUM_OF_SQUARES),
        (SufficientStatistics(100, 50.0, 20.0), Problem.CONTRADICTORY_SUMS),
    ],
)
def test_an_arm_that_cannot_be_used_is_a_named_problem_on_either_side(
    metric_kind: str, arm: SufficientStatistics, problem: Problem
) -> None:
    for comparison in (
        compare(metric_kind, arm, FINE),
        compare(metric_kind, FINE, arm),
    ):
        assert comparison.problem is problem
        assert numbers(comparison) == (None,) * 7


@pytest.mark.parametrize(
    ("metric_kind", "arm"),
    [
        ("mean", SufficientStatistics(10, 30.0, 90.0)),
        ("mean", SufficientStatistics(10, 0.0, 0.0)),
        ("proportion", SufficientStatistics(10, 10.0, 10.0)),
        ("proportion", SufficientStatistics(10, 0.0, 0.0)),
    ],
)
def test_arms_without_any_variance_are_a_named_problem(
    metric_kind: str, arm: SufficientStatistics
) -> None:
    comparison = compare(metric_kind, arm, arm)
    assert comparison.problem is Problem.ZERO_VARIANCE
    assert numbers(comparison) == (None,) * 7


def test_one_constant_arm_still_compares_means() -> None:
    varied = SufficientStatistics(3, 6.0, 14.0)
    comparison = compare_means(varied, SufficientStatistics(5, 5.0, 5.0))
    # By hand: means 2 and 1, squared error 1/3 + 0, so Welch has 2 degrees of freedom.
    oracle = ttest_ind_from_stats(2, 1, 3, 1, 0, 5, equal_var=False)
    assert comparison.problem is None
    assert comparison.p_value == pytest.approx(oracle.pvalue, rel=CLOSE)


@pytest.mark.parametrize(
    "arm",
    [
        SufficientStatistics(100, 50.0, 70.0),
        SufficientStatistics(100, 101.0, 110.0),
        SufficientStatistics(100, -5.0, 5.0),
    ],
)
def test_values_other_than_zero_and_one_are_no_proportion(
    arm: SufficientStatistics,
) -> None:
    assert compare_proportions(arm, FINE).problem is Problem.NOT_A_PROPORTION


def test_too_few_outcomes_keep_their_numbers_under_a_named_problem() -> None:
    comparison = compare_proportions(rate(4, 1000), rate(2, 1000))
    assert comparison.problem is Problem.TOO_FEW_OUTCOMES
    assert comparison.estimate == pytest.approx(0.002)
    assert compare_proportions(rate(6, 1000), rate(4, 1000)).problem is None


def test_an_unknown_metric_kind_is_a_named_problem() -> None:
    assert compare("ratio", FINE, FINE).problem is Problem.UNKNOWN_METRIC_KIND


@given(
    st.sampled_from(["mean", "proportion"]),
    *[st.integers(-2, 2**62), st.floats(), st.floats()] * 2,
)
@settings(max_examples=300, deadline=None)
def test_any_sums_give_finite_numbers_or_a_problem_never_an_exception(
    metric_kind: str,
    unit_count: int,
    value_sum: float,
    value_sum_squares: float,
    control_unit_count: int,
    control_sum: float,
    control_sum_squares: float,
) -> None:
    comparison = compare(
        metric_kind,
        SufficientStatistics(unit_count, value_sum, value_sum_squares),
        SufficientStatistics(control_unit_count, control_sum, control_sum_squares),
    )
    given_numbers = [n for n in numbers(comparison) if n is not None]
    assert all(math.isfinite(number) for number in given_numbers)
    assert comparison.problem is not None or len(given_numbers) in (4, 7)


@pytest.mark.parametrize("level", [0, 1, 95, math.nan])
def test_a_confidence_level_outside_zero_and_one_is_refused(level: float) -> None:
    with pytest.raises(InputError, match="confidence_level"):
        compare_means(FINE, FINE, level)

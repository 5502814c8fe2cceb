"""Means, ratios and CUPED against tea-tasting; adjustment against least squares."""

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tt

from nearline.experiments import (
    Comparison,
    FixedHorizon,
    JointStatistics,
    Layout,
    Problem,
    Stratum,
    compare_means,
    estimate_arms,
)
from tests.unit.experiments.test_inference import statistics_of

CLOSE = 1e-9


def draw_units(seed: int, unit_count: int) -> pd.DataFrame:
    """Users whose orders depend on what they did before; every user has a session."""
    rng = np.random.default_rng(seed)
    before_sessions = 1 + rng.poisson(3, unit_count)
    taste = rng.gamma(2, 0.1, unit_count)
    sessions = 1 + rng.poisson(3, unit_count)
    variant = (rng.random(unit_count) < 0.4).astype(int)
    return pd.DataFrame(
        {
            "variant": variant,
            "sessions": sessions,
            "orders": rng.poisson(taste * sessions * (1 + 0.2 * variant)),
            "sessions_before": before_sessions,
            "orders_before": rng.poisson(taste * before_sessions),
        }
    )


def stratum_of(units: pd.DataFrame, *columns: str) -> Stratum:
    arms = {
        arm: JointStatistics.from_columns(
            [units.loc[units.variant == arm, name].to_numpy() for name in columns]
        )
        for arm in (0, 1)
    }
    return Stratum(arms[1], arms[0])


CASES = [
    pytest.param(
        ("orders",), Layout(), tt.Mean("orders"), id="mean",
    ),
    pytest.param(
        ("orders", "orders_before"),
        Layout(covariate=1),
        tt.Mean("orders", "orders_before"),
        id="mean-cuped",
    ),
    pytest.param(
        ("orders", "sessions"),
        Layout(denominator=1),
        tt.RatioOfMeans("orders", "sessions"),
        id="ratio",
    ),
    pytest.param(
        ("orders", "sessions", "orders_before", "sessions_before"),
        Layout(denominator=1, covariate=2, covariate_denominator=3),
        tt.RatioOfMeans("orders", "sessions", "orders_before", "sessions_before"),
        id="ratio-cuped",
    ),
]  # fmt: skip


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("unit_count", [60, 3000])
@pytest.mark.parametrize(("columns", "layout", "metric"), CASES)
def test_estimates_agree_with_tea_tasting(
    columns: tuple[str, ...],
    layout: Layout,
    metric: "tt.metrics.MetricBase",
    unit_count: int,
    level: float,
) -> None:
    units = draw_units(3, unit_count)
    with tt.config_context(confidence_level=level):
        oracle = tt.Experiment(metric=type(metric)(**_arguments(metric))).analyze(units)
    theirs = oracle["metric"]
    ours = estimate_arms([stratum_of(units, *columns)], layout).compare(
        FixedHorizon(level)
    )
    assert ours.problem is None
    assert (ours.estimate, ours.ci_low, ours.ci_high, ours.p_value) == pytest.approx(
        (
            theirs.effect_size,
            theirs.effect_size_ci_lower,
            theirs.effect_size_ci_upper,
            theirs.pvalue,
        ),
        rel=CLOSE,
        abs=CLOSE,
    )
    assert ours.relative_lift == pytest.approx(theirs.rel_effect_size, rel=CLOSE)


def _arguments(metric: "tt.metrics.MetricBase") -> dict[str, str | None]:
    """Metrics fix their level when made; one is made anew under the level asked for."""
    if isinstance(metric, tt.Mean):
        return {"value": metric.value, "covariate": metric.covariate}
    names = ("numer", "denom", "numer_covariate", "denom_covariate")
    return {name: getattr(metric, name) for name in names}


def test_cuped_comes_as_near_to_least_squares_as_its_slope_is() -> None:
    # The regression takes the slope within arms; the two differ by a share of 1/n.
    units = draw_units(5, 20_000)
    design = sm.add_constant(units[["variant", "orders_before"]])
    oracle = sm.OLS(units.orders, design).fit(cov_type="HC1")
    ours = estimate_arms(
        [stratum_of(units, "orders", "orders_before")], Layout(covariate=1)
    ).compare(FixedHorizon())
    assert ours.estimate == pytest.approx(oracle.params["variant"], rel=2e-3)
    assert ours.standard_error == pytest.approx(oracle.bse["variant"], rel=2e-3)


def test_the_share_of_variance_removed_is_the_squared_correlation() -> None:
    rng = np.random.default_rng(1)
    before = rng.normal(size=50_000)
    value = 0.8 * before + 0.6 * rng.normal(size=50_000)
    units = pd.DataFrame(
        {"variant": rng.integers(0, 2, 50_000), "value": value, "before": before}
    )
    arms = estimate_arms([stratum_of(units, "value", "before")], Layout(covariate=1))
    assert arms.variance_removed == pytest.approx(0.64, abs=0.01)


def test_a_constant_covariate_changes_nothing() -> None:
    units = draw_units(2, 500).assign(before=1.0)
    arms = estimate_arms([stratum_of(units, "orders", "before")], Layout(covariate=1))
    plain = estimate_arms([stratum_of(units, "orders")], Layout())
    for one, other in ((arms.variant, plain.variant), (arms.control, plain.control)):
        assert one is not None
        assert other is not None
        assert one.point == other.point
        assert one.squared_error == pytest.approx(other.squared_error, rel=1e-12)
    assert arms.variance_removed == pytest.approx(0.0, abs=1e-12)


def test_one_value_and_one_stratum_are_welch() -> None:
    units = draw_units(4, 400)
    ours = estimate_arms([stratum_of(units, "orders")], Layout()).compare(
        FixedHorizon()
    )
    arms = [
        statistics_of(units.loc[units.variant == arm, "orders"].to_numpy(float))
        for arm in (1, 0)
    ]
    oracle = compare_means(*arms)
    assert ours.method == oracle.method
    assert (ours.estimate, ours.ci_low, ours.p_value) == pytest.approx(
        (oracle.estimate, oracle.ci_low, oracle.p_value), rel=CLOSE
    )


def test_post_stratification_weighs_each_stratum_by_its_share_of_all() -> None:
    # By hand: strata of 6 and 4 units; differences 2 and 10.
    strata = [
        Stratum(of(3.0, 5.0), of(1.0, 2.0, 3.0, 2.0)),
        Stratum(of(20.0, 22.0), of(10.0, 12.0)),
    ]
    arms = estimate_arms(strata, Layout())
    assert arms.method == "welch_t_poststratified"
    assert arms.variant is not None
    assert arms.control is not None
    assert arms.variant.point - arms.control.point == pytest.approx(0.6 * 2 + 0.4 * 10)
    # Variances 2 and 2 of two units each; 2/3 of four and 2 of two.
    assert arms.variant.squared_error == pytest.approx(0.36 * 1 + 0.16 * 1)
    assert arms.control.squared_error == pytest.approx(0.36 * (2 / 3) / 4 + 0.16 * 1)


def of(*values: float) -> JointStatistics:
    return JointStatistics.from_columns([np.array(values)])


def test_strata_remove_what_lies_between_them() -> None:
    rng = np.random.default_rng(8)
    device = rng.integers(0, 2, 20_000)
    units = pd.DataFrame(
        {
            "variant": rng.integers(0, 2, 20_000),
            "device": device,
            "value": 4 * device + rng.normal(size=20_000),
        }
    )
    strata = [stratum_of(units[units.device == kind], "value") for kind in (0, 1)]
    # By hand: variance 4 between two equal halves, 1 within.
    removed = estimate_arms(strata, Layout()).variance_removed
    assert removed == pytest.approx(0.8, abs=0.01)


RATIO = Layout(denominator=1)
FINE = JointStatistics.from_columns([np.arange(1, 9.0), np.arange(2, 10.0)])


@pytest.mark.parametrize(
    ("arm", "problem"),
    [
        (JointStatistics.nothing(2), Problem.EMPTY_ARM),
        (JointStatistics.from_columns([[1.0], [2.0]]), Problem.TOO_FEW_UNITS),
        (JointStatistics.from_columns([[1, 2.0], [0, 0.0]]), Problem.ZERO_DENOMINATOR),
        (JointStatistics.from_columns([[1, 2.0], [-1, 2.0]]), Problem.ZERO_DENOMINATOR),
        (JointStatistics.from_columns([[1, math.nan], [1, 1]]), Problem.NOT_A_NUMBER),
        (JointStatistics.from_columns([[1, 1e308], [1, 1]]), Problem.NOT_A_NUMBER),
    ],
)
def test_an_arm_that_cannot_be_used_is_a_named_problem_on_either_side(
    arm: JointStatistics, problem: Problem
) -> None:
    for stratum in (Stratum(arm, FINE), Stratum(FINE, arm)):
        found = estimate_arms([stratum], RATIO)
        assert found.problem is problem
        assert found.compare(FixedHorizon()) == Comparison("ratio_delta_t", problem)


def test_a_stratum_without_one_arm_is_a_named_problem() -> None:
    strata = [Stratum(of(1.0, 2.0), of(3.0, 4.0)), Stratum(of(5.0), of(3.0, 4.0))]
    assert estimate_arms(strata, Layout()).problem is Problem.EMPTY_STRATUM


def test_arms_without_any_variance_are_a_named_problem() -> None:
    arms = estimate_arms([Stratum(of(0.1, 0.1, 0.1), of(0.1, 0.1))], Layout())
    assert arms.compare(FixedHorizon()).problem is Problem.ZERO_VARIANCE

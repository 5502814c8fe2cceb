"""Sample size, power and MDE against statsmodels."""

import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from nearline.errors import InputError
from nearline.experiments import (
    JointStatistics,
    detectable_effect,
    deviation_of_proportion,
    deviation_of_ratio,
    plan_sample_size,
    power_of,
)


@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
@pytest.mark.parametrize(("power", "level"), [(0.8, 0.95), (0.9, 0.99), (0.5, 0.9)])
def test_sizes_agree_with_statsmodels(power: float, level: float, ratio: float) -> None:
    oracle = NormalIndPower().solve_power(
        effect_size=2.0 / 25.0, alpha=1 - level, power=power, ratio=ratio
    )
    ours = plan_sample_size(
        2.0, 25.0, power=power, confidence_level=level, units_per_control_unit=ratio
    )
    assert ours.control_unit_count == math.ceil(oracle - 1e-6)
    assert ours.variant_unit_count == math.ceil(oracle * ratio - 1e-6)
    effect = detectable_effect(
        oracle, 25.0, power=power, confidence_level=level, units_per_control_unit=ratio
    )
    assert effect == pytest.approx(2.0, rel=1e-9)
    error = 25.0 * math.sqrt(1 / oracle + 1 / (oracle * ratio))
    assert power_of(2.0, error, level) == pytest.approx(power, rel=1e-9)


def test_proportions_use_the_deviation_of_each_rate() -> None:
    # By hand: 1.959964 + 0.841621 squared is 7.848880; variances .05*.95 and .06*.94.
    size = plan_sample_size(
        0.01, deviation_of_proportion(0.05), deviation_of_proportion(0.06)
    )
    exact = 7.848880 * (0.05 * 0.95 + 0.06 * 0.94) / 0.01**2
    assert size.control_unit_count == pytest.approx(exact, abs=1.5)


def test_a_ratio_plans_with_its_linearized_deviation() -> None:
    rng = np.random.default_rng(6)
    sessions = 1.0 + rng.poisson(3, 4000)
    orders = rng.poisson(0.3 * sessions).astype(float)
    history = JointStatistics.from_columns([orders, sessions])
    ratio = orders.mean() / sessions.mean()
    linear = (orders - ratio * sessions) / sessions.mean()
    assert deviation_of_ratio(history) == pytest.approx(linear.std(ddof=1), rel=1e-9)


def test_duration_counts_whole_days_of_both_arms() -> None:
    size = plan_sample_size(2.0, 25.0)
    assert size.control_unit_count == 2453
    assert size.days(1000) == 5
    with pytest.raises(InputError, match="units per day"):
        size.days(0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: plan_sample_size(0.0, 1.0),
        lambda: plan_sample_size(math.nan, 1.0),
        lambda: plan_sample_size(1.0, 0.0),
        lambda: plan_sample_size(1.0, 1.0, power=1.0),
        lambda: plan_sample_size(1.0, 1.0, power=0.04),
        lambda: plan_sample_size(1.0, 1.0, units_per_control_unit=0),
        lambda: deviation_of_proportion(5.0),
    ],
)
def test_impossible_plans_are_refused(ask: "object") -> None:
    with pytest.raises(InputError):
        ask()  # type: ignore[operator]

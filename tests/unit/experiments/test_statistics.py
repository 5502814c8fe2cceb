"""Sufficient statistics add up; mean and variance equal numpy's on the raw values."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.experiments import JointStatistics, SufficientStatistics

VALUES = st.lists(st.integers(-1_000_000, 1_000_000), max_size=40)


def of(values: list[int]) -> SufficientStatistics:
    return SufficientStatistics(
        len(values), float(sum(values)), float(sum(value**2 for value in values))
    )


@settings(deadline=None)
@given(VALUES, VALUES)
def test_statistics_of_parts_add_up_to_those_of_the_whole(
    left: list[int], right: list[int]
) -> None:
    assert of(left) + of(right) == of(left + right)


@settings(deadline=None)
@given(VALUES, VALUES, VALUES)
def test_addition_is_associative_and_commutative_on_whole_numbers(
    a: list[int], b: list[int], c: list[int]
) -> None:
    assert (of(a) + of(b)) + of(c) == of(c) + (of(b) + of(a))
    assert of(a) + SufficientStatistics() == of(a)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            SufficientStatistics,
            st.integers(0, 1000),
            st.floats(-1e12, 1e12),
            st.floats(0, 1e15),
        ),
        max_size=20,
    ),
    st.integers(0, 1000),
)
def test_total_does_not_depend_on_the_order_of_its_parts_to_the_last_bit(
    parts: list[SufficientStatistics], seed: int
) -> None:
    shuffled = parts.copy()
    random.Random(seed).shuffle(shuffled)
    assert SufficientStatistics.total(parts) == SufficientStatistics.total(shuffled)


@settings(deadline=None)
@given(st.lists(st.integers(-1_000_000, 1_000_000), min_size=2, max_size=40))
def test_mean_and_variance_equal_numpy(values: list[int]) -> None:
    statistics = of(values)
    assert statistics.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-9)
    assert statistics.variance == pytest.approx(
        np.var(values, ddof=1), rel=1e-9, abs=1e-9
    )


def test_variance_survives_a_mean_large_against_the_spread() -> None:
    # By hand: the mean ends in 5.2, squared deviations add up to 2.8; 2.8 / 4 = 0.7.
    # The textbook formula in floats gives 0.75.
    values = [30_000_006, 30_000_004, 30_000_005, 30_000_005, 30_000_006]
    assert of(values).variance == pytest.approx(0.7, rel=1e-12)


def test_mean_and_variance_are_nan_where_they_do_not_exist() -> None:
    assert math.isnan(SufficientStatistics().mean)
    assert math.isnan(SufficientStatistics(1, 3.0, 9.0).variance)
    assert math.isnan(SufficientStatistics(3, math.nan, 9.0).mean)
    assert math.isnan(SufficientStatistics(3, 6.0, 1.0).variance)


def test_sums_that_no_values_can_have_are_contradictory() -> None:
    # Three values that add up to 6 have squares of at least 12.
    assert SufficientStatistics(3, 6.0, 11.0).is_contradictory
    assert not SufficientStatistics(3, 6.0, 12.0).is_contradictory
    assert SufficientStatistics(0, 1.0, 1.0).is_contradictory


def test_total_of_a_part_that_is_not_finite_is_not_finite() -> None:
    parts = [
        SufficientStatistics(1, math.inf, 1.0),
        SufficientStatistics(1, -math.inf, 1.0),
    ]
    assert not SufficientStatistics.total(parts).is_finite
    huge = SufficientStatistics(1, 1.7e308, 1.7e308)
    assert not SufficientStatistics.total([huge, huge]).is_finite


def joint(seed: int, unit_count: int, shift: float = 0.0) -> JointStatistics:
    rng = np.random.default_rng(seed)
    value = rng.normal(5, 2, unit_count) + shift
    return JointStatistics.from_columns([value, value + rng.normal(size=unit_count)])


def test_joint_statistics_of_parts_add_up_to_those_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    columns = [rng.normal(100, 2, 999), rng.gamma(2, 3, 999)]
    whole = JointStatistics.from_columns(columns)
    parts = [
        JointStatistics.from_columns([column[chosen] for column in columns])
        for chosen in (slice(0, 100), slice(100, 101), slice(101, 101), slice(101, 999))
    ]
    total = parts[0] + parts[1] + parts[2] + parts[3]
    assert total.unit_count == whole.unit_count
    assert total.means == pytest.approx(whole.means, rel=1e-12)
    oracle = np.cov(np.vstack(columns))
    for statistics in (total, whole):
        for i in (0, 1):
            for j in (0, 1):
                assert statistics.covariance(i, j) == pytest.approx(
                    oracle[i, j], rel=1e-11
                )
    assert parts[2] == JointStatistics.nothing(2)
    assert parts[2] + parts[2] == parts[2]
    assert parts[0] + parts[2] == parts[0]


def test_joint_statistics_from_sums_are_those_of_the_units() -> None:
    value, below = np.array([1.0, 4.0, 7.5]), np.array([2.0, 2.0, 5.0])
    sums = JointStatistics.from_sums(
        3,
        [value.sum(), below.sum()],
        [[value @ value, value @ below], [value @ below, below @ below]],
    )
    units = JointStatistics.from_columns([value, below])
    assert sums.means == pytest.approx(units.means)
    for row, other in zip(sums.comoments, units.comoments, strict=True):
        assert row == pytest.approx(other)


def test_a_large_mean_costs_the_variance_no_digits() -> None:
    small = joint(4, 500)
    large = joint(4, 500, shift=1e9)
    assert large.covariance(0, 0) == pytest.approx(small.covariance(0, 0), rel=1e-6)


def test_a_weighted_sum_s_variance_is_that_of_the_sums() -> None:
    rng = np.random.default_rng(5)
    value, other = rng.normal(size=(2, 300))
    statistics = JointStatistics.from_columns([value, other])
    ours = statistics.covariance_of_sums((2.0, -3.0), (2.0, -3.0))
    assert ours == pytest.approx((2 * value - 3 * other).var(ddof=1), rel=1e-12)

"""Bootstrap intervals: what is resampled, and that they hold what they promise."""

import numpy as np
import pytest

from nearline.recommend.intervals import (
    coverage_estimate,
    mean_estimates,
    ratio_estimates,
)
from nearline.recommend.ranking import NOTHING


def test_a_mean_lies_within_its_interval_and_a_seed_repeats_it() -> None:
    values = np.random.default_rng(1).random((300, 2))
    first, again = mean_estimates(values, seed=4), mean_estimates(values, seed=4)
    assert first == again
    assert first != mean_estimates(values, seed=5)
    for estimate, column in zip(first, values.T, strict=True):
        assert estimate.value == pytest.approx(column.mean())
        # The normal interval's half width; the bootstrap's must be near it.
        half = 1.96 * column.std() / np.sqrt(300)
        assert estimate.ci_low == pytest.approx(column.mean() - half, abs=half / 4)
        assert estimate.ci_high == pytest.approx(column.mean() + half, abs=half / 4)


def test_the_interval_of_a_mean_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for seed in range(60):
        (estimate,) = mean_estimates(rng.exponential(1, (150, 1)), seed)
        assert estimate.ci_low is not None
        assert estimate.ci_high is not None
        held += estimate.ci_low <= 1 <= estimate.ci_high
    # 95 % of 60 is 57; of a true 93 %, fewer than 50 come once in ten thousand times.
    assert held >= 50


def test_undefined_values_are_left_out_and_none_at_all_is_no_number() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]])
    some, none = mean_estimates(values, seed=1)
    assert some.value == 2
    assert (none.value, none.ci_low, none.ci_high) == (None, None, None)


def test_a_ratio_weighs_units_by_their_size() -> None:
    # One session with one hit of one position, one with none of three.
    (estimate,) = ratio_estimates(
        np.array([[1.0], [0.0]]), np.array([[1.0], [3.0]]), seed=1
    )
    assert estimate.value == 0.25
    assert (estimate.ci_low, estimate.ci_high) == (0, 1)


def test_one_unit_has_an_interval_of_no_width() -> None:
    (estimate,) = mean_estimates(np.array([[0.3]]), seed=1)
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (0.3, 0.3, 0.3)


def test_coverage_counts_items_once_and_lies_within_its_interval() -> None:
    lists = np.array([[0, 1], [1, 2], [1, NOTHING]], dtype=np.int32)
    assert coverage_estimate(lists, 10, seed=1).value == pytest.approx(0.3)
    rng = np.random.default_rng(3)
    many = rng.integers(0, 400, (200, 5)).astype(np.int32)
    estimate = coverage_estimate(many, 400, seed=1)
    assert estimate.ci_low is not None
    assert estimate.value is not None
    assert estimate.ci_high is not None
    assert estimate.ci_low < estimate.value < estimate.ci_high <= 1
    everything = coverage_estimate(np.array([[0, 1]], dtype=np.int32), 2, seed=1)
    assert (everything.value, everything.ci_high) == (1, 1)

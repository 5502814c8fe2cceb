"""Quantiles: intervals against the binomial, and clusters against a bootstrap."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from nearline.experiments import estimate_quantile, quantile_interval


def test_the_interval_s_ends_are_values_at_the_binomial_s_ranks() -> None:
    values = np.random.default_rng(1).permutation(10_000) + 1.0
    ours = quantile_interval(values, 0.9)
    # Values are their own ranks; the exact ranks are quantiles of the binomial.
    low, high = binom.ppf([0.025, 0.975], 10_000, 0.9)
    assert ours.low == pytest.approx(low, abs=2)
    assert ours.high == pytest.approx(high, abs=2)
    assert ours.estimate == np.quantile(values, 0.9)


def test_the_error_is_that_of_the_density_at_the_quantile() -> None:
    # By theory: sqrt(q (1 - q) / n) / density at the quantile.
    values = np.random.default_rng(2).normal(size=200_000)
    arm = estimate_quantile(values, 0.75)
    theory = np.sqrt(0.75 * 0.25 / 200_000) / norm.pdf(norm.ppf(0.75))
    assert arm.point == pytest.approx(norm.ppf(0.75), abs=0.01)
    assert np.sqrt(arm.squared_error) == pytest.approx(theory, rel=0.1)
    assert arm.unit_count == 200_000


def test_clusters_widen_the_interval_as_a_bootstrap_of_clusters_does() -> None:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(1500), 1 + rng.poisson(5, 1500))
    values = rng.normal(size=1500)[users] + 0.5 * rng.normal(size=len(users))
    arm = estimate_quantile(values, 0.9, users)
    by_user = np.split(values, np.flatnonzero(np.diff(users)) + 1)
    drawn = [
        np.quantile(
            np.concatenate([by_user[u] for u in rng.integers(0, 1500, 1500)]), 0.9
        )
        for _ in range(400)
    ]
    assert np.sqrt(arm.squared_error) == pytest.approx(np.std(drawn), rel=0.15)
    assert arm.unit_count == 1500
    naive = estimate_quantile(values, 0.9)
    assert arm.squared_error > 2 * naive.squared_error


def test_equal_values_leave_no_error() -> None:
    assert estimate_quantile(np.array([0.0] * 99 + [1.0]), 0.5).squared_error == 0

"""Boundaries against published tables and an independent integral; inverses agree."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from nearline.errors import InputError
from nearline.experiments import (
    AlwaysValid,
    ArmEstimate,
    FixedHorizon,
    GroupSequential,
    Horizon,
    Spending,
    compare_estimates,
)
from nearline.experiments.sequential import spent

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "table"),
    [
        # Two-sided 5 %, five equal looks, as the programs of Reboussin, DeMets, Kim and
        # Lan (2000), Controlled Clinical Trials 21, print them.
        (Spending.OBRIEN_FLEMING, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        (Spending.POCOCK, (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_boundaries_are_those_of_the_published_tables(
    spending: Spending, table: tuple[float, ...]
) -> None:
    plan = GroupSequential(FIFTHS, spending=spending)
    assert plan.boundaries() == pytest.approx(table, abs=2e-4)


@pytest.mark.parametrize("spending", list(Spending))
def test_what_is_spent_by_each_look_is_what_the_joint_normal_crosses(
    spending: Spending,
) -> None:
    looks = (0.3, 0.5, 0.9)
    bounds = np.array(GroupSequential(looks, 0.9, spending).boundaries())
    shares = np.array(looks)
    correlation = np.sqrt(
        np.minimum.outer(shares, shares) / np.maximum.outer(shares, shares)
    )
    for count in (1, 2, 3):
        inside = multivariate_normal(np.zeros(count), correlation[:count, :count]).cdf(
            bounds[:count], lower_limit=-bounds[:count], rng=np.random.default_rng(1)
        )
        assert 1 - inside == pytest.approx(
            spent(looks[count - 1], 0.1, spending), abs=2e-5
        )


def test_one_look_at_the_end_is_the_plain_normal_test() -> None:
    plan = GroupSequential((1.0,))
    assert plan.critical(50, 100) == pytest.approx(norm.ppf(0.975), rel=1e-9)
    assert plan.p_value(2.1, 50, 100) == pytest.approx(2 * norm.sf(2.1), rel=1e-6)


@pytest.mark.parametrize(
    "horizon",
    [
        FixedHorizon(0.9),
        AlwaysValid(0.9),
        GroupSequential(FIFTHS[:2], 0.9),
        GroupSequential(FIFTHS, 0.9, Spending.POCOCK),
    ],
    ids=lambda horizon: type(horizon).__name__,
)
def test_at_the_interval_s_end_the_p_value_is_the_level(horizon: Horizon) -> None:
    edge = horizon.critical(40.0, 3000)
    assert horizon.p_value(edge, 40.0, 3000) == pytest.approx(0.1, rel=1e-5)
    assert horizon.p_value(-edge, 40.0, 3000) == pytest.approx(0.1, rel=1e-5)
    assert horizon.p_value(edge + 0.1, 40.0, 3000) < 0.1
    assert horizon.p_value(0.0, 40.0, 3000) == pytest.approx(1.0)
    assert 0 <= horizon.p_value(60.0, 40.0, 3000) < 1e-9


def test_the_always_valid_width_is_the_published_formula() -> None:
    # Theorem 2.2 with standard deviation 1: sqrt(2 (n r + 1) / (n^2 r)
    # log(sqrt(n r + 1) / alpha)) with r the squared mixture parameter.
    horizon = AlwaysValid(0.95, tuned_unit_count=500)
    alpha, count = 0.05, 1234
    mixture = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / 500
    width = math.sqrt(
        2
        * (count * mixture + 1)
        / (count**2 * mixture)
        * math.log(math.sqrt(count * mixture + 1) / alpha)
    )
    ours = horizon.critical(math.inf, count) / math.sqrt(count)
    assert ours == pytest.approx(width, rel=1e-12)


def test_the_always_valid_interval_is_narrowest_near_its_tuned_count() -> None:
    counts = np.geomspace(1e2, 1e6, 200)
    horizon = AlwaysValid(tuned_unit_count=10_000)
    widths = [horizon.critical(math.inf, int(count)) for count in counts]
    assert 5_000 < counts[int(np.argmin(widths))] < 20_000
    assert min(widths) > FixedHorizon().critical(1e9, 0)


def test_a_horizon_widens_the_interval_and_keeps_the_estimate() -> None:
    arms = (ArmEstimate(12.0, 0.04, 5000), ArmEstimate(11.0, 0.05, 5000))
    fixed = compare_estimates("mean", *arms, FixedHorizon())
    valid = compare_estimates("mean", *arms, AlwaysValid())
    assert valid.estimate == fixed.estimate == pytest.approx(1.0)
    assert valid.ci_low < fixed.ci_low  # type: ignore[operator]
    assert valid.p_value > fixed.p_value  # type: ignore[operator]
    # By hand: the half-width is the critical value times sqrt(0.09).
    half_width = AlwaysValid().critical(0, 10_000) * 0.3
    assert valid.ci_high == pytest.approx(1 + half_width)


@pytest.mark.parametrize(
    "looks", [(), (0.0,), (0.5, 0.4), (0.5, 0.5), (0.5, 1.2), (-0.5, 1), (math.nan,)]
)
def test_looks_that_are_no_growing_shares_are_refused(looks: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="growing shares"):
        GroupSequential(looks)

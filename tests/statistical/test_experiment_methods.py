"""Simulated error rates of every method of the experiment analysis.

The fast runs see gross faults on every change; the long ones hold each rate to what the
method promises. Seeds are fixed, so a failure is a change of the code, not of luck.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binom

from nearline.experiments import (
    AlwaysValid,
    ArmEstimates,
    FixedHorizon,
    GroupSequential,
    GuardrailStatus,
    JointStatistics,
    Layout,
    Spending,
    Stratum,
    SufficientStatistics,
    adjust_holm,
    compare_estimates,
    compare_means,
    compare_proportions,
    deviation_of_proportion,
    deviation_of_ratio,
    estimate_arms,
    estimate_quantile,
    homogeneity_p_value,
    judge_guardrail,
    plan_sample_size,
    update_belief,
)
from nearline.experiments.analysis import Question, answer
from nearline.experiments.expressions import parse_metrics
from nearline.experiments.unit_experiment import Columns, read_experiment, winsorize

Estimate = Callable[["np.random.Generator", float, int], ArmEstimates]

FAST = 300
LONG = 5_000
RUNS = [
    pytest.param(FAST, id="fast"),
    pytest.param(LONG, id="long", marks=pytest.mark.services),
]
MEAN_REVENUE = 400.0
"""Cents per visitor, of which a fifth buys."""


def bounds(run_count: int, rate: float) -> tuple[float, float]:
    """Of an observed rate, at one in ten thousand a side."""
    low, high = binom.ppf([1e-4, 1 - 1e-4], run_count, rate)
    return low / run_count, high / run_count


def draw_revenue(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> "tuple[np.ndarray, np.ndarray]":
    """Skewed, zero-inflated revenue per visitor, and the same visitor's before."""
    loyalty = rng.gamma(2.0, 0.5, unit_count)

    def spend(scale: float) -> "np.ndarray":
        buys = rng.random(unit_count) < 0.2
        paid = rng.gamma(2.0, 1000 * scale, unit_count) * loyalty
        return np.where(buys, paid, 0.0)

    return spend(1 + lift), spend(1.0)


def draw_sessions(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> "tuple[np.ndarray, ...]":
    """Conversions in clustered sessions: a visitor's resemble each other."""
    taste = 0.8 * rng.beta(2, 6, unit_count)

    def visits(rate: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
        sessions = 1 + rng.geometric(0.3, unit_count)
        return rng.binomial(sessions, rate).astype(float), sessions.astype(float)

    return *visits(taste * (1 + lift)), *visits(taste)


def estimate_revenue(
    rng: "np.random.Generator", lift: float, unit_count: int, layout: Layout
) -> ArmEstimates:
    width = 1 if layout.covariate is None else 2
    arms = [
        JointStatistics.from_columns(draw_revenue(rng, effect, size)[:width])
        for effect, size in ((lift, unit_count), (0.0, unit_count * 4 // 5))
    ]
    return estimate_arms([Stratum(*arms)], layout)


def estimate_welch(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    return estimate_revenue(rng, lift, unit_count, Layout())


def estimate_cuped(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    return estimate_revenue(rng, lift, unit_count, Layout(covariate=1))


def estimate_ratio(
    rng: "np.random.Generator",
    lift: float,
    unit_count: int,
    layout: Layout = Layout(denominator=1),  # noqa: B008  # frozen
) -> ArmEstimates:
    width = 2 if layout.covariate is None else 4
    arms = [
        JointStatistics.from_columns(draw_sessions(rng, effect, size)[:width])
        for effect, size in ((lift, unit_count), (0.0, unit_count * 4 // 5))
    ]
    return estimate_arms([Stratum(*arms)], layout)


def estimate_ratio_cuped(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    layout = Layout(denominator=1, covariate=2, covariate_denominator=3)
    return estimate_ratio(rng, lift, unit_count, layout)


def estimate_poststratified(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    """Two devices of different habits, shares as chance has it."""
    drawn = {}
    for name, effect in (("variant", lift), ("control", 0.0)):
        is_phone = rng.random(unit_count) < 0.3
        values = draw_revenue(rng, effect, unit_count)[0] * np.where(is_phone, 0.4, 1.0)
        drawn[name] = [values[is_phone], values[~is_phone]]
    strata = [
        Stratum(*(JointStatistics.from_columns([part]) for part in parts))
        for parts in zip(drawn["variant"], drawn["control"], strict=True)
    ]
    return estimate_arms(strata, Layout())


def estimate_median(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    """Of a skewed time; lift moves every value."""
    arms = [
        estimate_quantile((1 + effect) * rng.lognormal(0, 1, unit_count), 0.5)
        for effect in (lift, 0.0)
    ]
    return ArmEstimates("quantile", None, *arms)


def estimate_clustered_p90(
    rng: "np.random.Generator", lift: float, unit_count: int
) -> ArmEstimates:
    """Requests of a user resemble each other; users are what is assigned."""
    arms = []
    for effect in (lift, 0.0):
        users = np.repeat(np.arange(unit_count), rng.geometric(0.3, unit_count))
        slow = rng.normal(0, 0.6, unit_count)[users]
        values = (1 + effect) * np.exp(slow + rng.normal(0, 0.5, len(users)))
        arms.append(estimate_quantile(values, 0.9, users))
    return ArmEstimates("quantile", None, *arms)


# The true difference at a lift of 0.1; of the ratio, visitors' taste is 0.2 on average.
# A lognormal's median is 1; the 90th percentile of the requests is exp(1.2816 * 0.781).
METHODS = [
    pytest.param(estimate_welch, 0.1 * MEAN_REVENUE, 1500, id="welch"),
    pytest.param(estimate_cuped, 0.1 * MEAN_REVENUE, 1500, id="cuped"),
    pytest.param(estimate_ratio, 0.1 * 0.2, 800, id="ratio"),
    pytest.param(estimate_ratio_cuped, 0.1 * 0.2, 800, id="ratio-cuped"),
    pytest.param(
        estimate_poststratified, 0.1 * MEAN_REVENUE * 0.82, 1500, id="poststratified"
    ),
    pytest.param(estimate_median, 0.1, 1500, id="median"),
    pytest.param(estimate_clustered_p90, 0.1 * 2.7206, 1500, id="clustered-p90"),
]


@pytest.mark.parametrize("run_count", RUNS)
@pytest.mark.parametrize(("estimate", "_effect", "unit_count"), METHODS)
def test_equal_arms_differ_as_often_as_the_level_says(
    estimate: Estimate, _effect: float, unit_count: int, run_count: int
) -> None:
    rng = np.random.default_rng(20_260_401)
    found = [
        estimate(rng, 0.0, unit_count).compare(FixedHorizon()) for _ in range(run_count)
    ]
    low, high = bounds(run_count, 0.05)
    rate = np.mean([one.p_value < 0.05 for one in found])  # type: ignore[operator]
    print(f"false positives {rate:.4f}")
    assert low <= rate <= high


@pytest.mark.parametrize("run_count", RUNS)
@pytest.mark.parametrize(("estimate", "effect", "unit_count"), METHODS)
def test_intervals_hold_the_true_effect_as_often_as_they_say(
    estimate: Estimate, effect: float, unit_count: int, run_count: int
) -> None:
    rng = np.random.default_rng(20_260_402)
    found = [
        estimate(rng, 0.1, unit_count).compare(FixedHorizon()) for _ in range(run_count)
    ]
    covered = np.mean([one.ci_low <= effect <= one.ci_high for one in found])  # type: ignore[operator]
    lifts = [one for one in found if one.relative_ci_low is not None]
    lift_covered = np.mean(
        [one.relative_ci_low <= 0.1 <= one.relative_ci_high for one in lifts]  # type: ignore[operator]
    )
    print(f"coverage {covered:.4f}, of the lift {lift_covered:.4f}")
    slack = 0.01 if run_count >= LONG else 0.03
    assert covered == pytest.approx(0.95, abs=slack)
    assert lift_covered == pytest.approx(0.95, abs=slack)
    assert len(lifts) == run_count


@pytest.mark.parametrize("run_count", RUNS)
def test_winsorized_equal_arms_differ_as_often_as_the_level_says(
    run_count: int,
) -> None:
    rng = np.random.default_rng(20_260_403)
    hits = 0
    for _ in range(run_count):
        values = winsorize(draw_revenue(rng, 0.0, 3000)[0], 0.99)
        arms = [JointStatistics.from_columns([part]) for part in np.split(values, 2)]
        found = estimate_arms([Stratum(*arms)], Layout()).compare(FixedHorizon())
        hits += found.p_value < 0.05  # type: ignore[operator]
    low, high = bounds(run_count, 0.05)
    assert low <= hits / run_count <= high


@pytest.mark.parametrize("run_count", RUNS)
def test_the_chi_square_of_three_arms_is_as_rare_as_it_says(run_count: int) -> None:
    rng = np.random.default_rng(20_260_404)
    counts = rng.binomial(2000, 0.08, (run_count, 3))
    p_values = [
        homogeneity_p_value([SufficientStatistics(2000, c, c) for c in row])
        for row in counts.tolist()
    ]
    low, high = bounds(run_count, 0.05)
    assert low <= np.mean([p < 0.05 for p in p_values]) <= high  # type: ignore[operator]


DAYS = 28


@pytest.mark.parametrize("run_count", RUNS)
@pytest.mark.parametrize(
    ("draw", "layout", "units_a_day"),
    [
        pytest.param(draw_revenue, Layout(), 150, id="revenue"),
        pytest.param(draw_revenue, Layout(covariate=1), 150, id="revenue-cuped"),
        pytest.param(draw_sessions, Layout(denominator=1), 100, id="ratio"),
    ],
)
def test_looking_every_day_finds_no_more_than_the_level_where_nothing_is(
    draw: Callable[..., "tuple[np.ndarray, ...]"],
    layout: Layout,
    units_a_day: int,
    run_count: int,
) -> None:
    rng = np.random.default_rng(20_260_405)
    width = 2 if layout != Layout() else 1
    horizon = AlwaysValid(tuned_unit_count=DAYS * units_a_day * 2)
    ever = fixed = 0
    for _ in range(run_count):
        arms = [JointStatistics.nothing(width)] * 2
        crossed = crossed_fixed = False
        for _day in range(DAYS):
            arms = [
                arm + JointStatistics.from_columns(draw(rng, 0.0, units_a_day)[:width])
                for arm in arms
            ]
            estimates = estimate_arms([Stratum(*arms)], layout)
            found = estimates.compare(horizon)
            outside = not found.ci_low <= 0 <= found.ci_high  # type: ignore[operator]
            assert outside == (found.p_value < 0.05)  # type: ignore[operator]
            crossed |= outside
            once = estimates.compare(FixedHorizon())
            crossed_fixed |= once.p_value < 0.05  # type: ignore[operator]
        ever += crossed
        fixed += crossed_fixed
    print(
        f"always valid {ever / run_count:.4f}; fixed, peeked at {fixed / run_count:.4f}"
    )
    _, high = bounds(run_count, 0.05)
    assert ever / run_count <= high
    assert fixed / run_count > 0.15
    # Without its cost it would be no interval at all: some do cross.
    assert ever > 0


@pytest.mark.parametrize("run_count", RUNS)
@pytest.mark.parametrize("spending", list(Spending))
def test_planned_looks_find_what_the_level_says_where_nothing_is(
    spending: Spending, run_count: int
) -> None:
    rng = np.random.default_rng(20_260_406)
    looks = (0.2, 0.4, 0.6, 0.8, 1.0)
    criticals = [
        GroupSequential(looks[: count + 1], 0.95, spending).critical(0, 0)
        for count in range(len(looks))
    ]
    ever = 0
    for _ in range(run_count):
        arms = [JointStatistics.nothing(1)] * 2
        for critical in criticals:
            arms = [
                arm + JointStatistics.from_columns(draw_revenue(rng, 0.0, 600)[:1])
                for arm in arms
            ]
            found = estimate_arms([Stratum(*arms)], Layout())
            assert found.variant is not None
            assert found.control is not None
            error = np.sqrt(found.variant.squared_error + found.control.squared_error)
            if abs(found.variant.point - found.control.point) > critical * error:
                ever += 1
                break
    print(f"{spending.value} {ever / run_count:.4f}")
    low, high = bounds(run_count, 0.05)
    assert low <= ever / run_count <= high


@pytest.mark.parametrize("run_count", RUNS)
def test_holm_keeps_the_chance_of_any_false_winner_of_three(run_count: int) -> None:
    rng = np.random.default_rng(20_260_407)
    counts = rng.binomial(4000, 0.1, (run_count, 4)).tolist()
    hits = 0
    for control, *variants in counts:
        p_values = [
            compare_proportions(
                SufficientStatistics(4000, one, one),
                SufficientStatistics(4000, control, control),
            ).p_value
            for one in variants
        ]
        hits += min(adjust_holm(p_values)) < 0.05  # type: ignore[arg-type]
    _, high = bounds(run_count, 0.05)
    assert 0.02 < hits / run_count <= high


@pytest.mark.parametrize("run_count", RUNS)
def test_a_guardrail_at_its_margin_holds_as_rarely_as_it_says(run_count: int) -> None:
    rng = np.random.default_rng(20_260_408)
    held = 0
    for _ in range(run_count):
        found = estimate_welch(rng, -0.1, 3000).compare(FixedHorizon())
        held += judge_guardrail(found, 0.1) is GuardrailStatus.HELD
    # One side of a 95 % interval; the ratio of two means is somewhat skewed.
    assert held / run_count == pytest.approx(
        0.025, abs=bounds(run_count, 0.025)[1] - 0.02
    )


@pytest.mark.parametrize("run_count", RUNS)
def test_power_is_as_planned(run_count: int) -> None:
    rng = np.random.default_rng(20_260_409)
    low, high = bounds(run_count, 0.8)
    size = plan_sample_size(
        0.02, deviation_of_proportion(0.1), deviation_of_proportion(0.12)
    ).control_unit_count
    counts = rng.binomial(size, [0.12, 0.1], (run_count, 2)).tolist()
    won = [
        compare_proportions(
            SufficientStatistics(size, one, one), SufficientStatistics(size, two, two)
        )
        for one, two in counts
    ]
    assert low <= np.mean([found.p_value < 0.05 for found in won]) <= high  # type: ignore[operator]

    history = [draw_revenue(rng, lift, 400_000)[0] for lift in (0.0, 0.25)]
    deviations = [float(values.std()) for values in history]
    plan = plan_sample_size(100.0, deviations[0], deviations[1])
    means = [
        compare_means(*(_of(draw_revenue(rng, lift, plan.control_unit_count)[0])
                        for lift in (0.25, 0.0)))
        for _ in range(run_count)
    ]  # fmt: skip
    assert low <= np.mean([found.p_value < 0.05 for found in means]) <= high  # type: ignore[operator]

    before, after = (
        deviation_of_ratio(
            JointStatistics.from_columns(draw_sessions(rng, lift, 400_000)[:2])
        )
        for lift in (0.0, 0.15)
    )
    count = plan_sample_size(0.15 * 0.2, before, after).control_unit_count
    hits = 0
    for _ in range(run_count):
        arms = [
            JointStatistics.from_columns(draw_sessions(rng, lift, count)[:2])
            for lift in (0.15, 0.0)
        ]
        found = estimate_arms([Stratum(*arms)], Layout(denominator=1))
        hits += found.compare(FixedHorizon()).p_value < 0.05  # type: ignore[operator]
    assert low <= hits / run_count <= high


def _of(values: "np.ndarray") -> SufficientStatistics:
    return SufficientStatistics(
        len(values), float(values.sum()), float((values**2).sum())
    )


def test_a_chance_to_win_of_nine_in_ten_wins_nine_times_in_ten() -> None:
    # Effects come from the stated prior, so beliefs must be calibrated.
    rng = np.random.default_rng(20_260_410)
    effects = rng.normal(0, 2, 40_000)
    estimates = rng.normal(effects, 1.5)
    chances = np.array([update_belief(e, 1.5, 2.0).chance_to_win() for e in estimates])
    for low in (0.1, 0.3, 0.5, 0.7, 0.85):
        chosen = (low <= chances) & (chances < low + 0.1)
        assert np.mean(effects[chosen] > 0) == pytest.approx(
            chances[chosen].mean(), abs=0.03
        )


def test_the_true_effect_lies_in_the_interval_of_a_file_of_units(
    tmp_path: Path,
) -> None:
    """200 seeds, by the way that the command goes."""
    columns = Columns(
        "user", "arm", parse_metrics(["r=mean(revenue)", "c=ratio(orders,sessions)"]),
        covariate="before",
    )  # fmt: skip
    inside = {"r": 0, "c": 0}
    truth = {"r": 0.1 * MEAN_REVENUE, "c": 0.1 * 0.2}
    path = tmp_path / "units.parquet"
    for seed in range(200):
        rng = np.random.default_rng(seed)
        arms = []
        for name, lift in (("control", 0.0), ("new", 0.1)):
            revenue, before = draw_revenue(rng, lift, 1500)
            orders, sessions = draw_sessions(rng, lift, 1500)[:2]
            arms.append(
                pa.table(
                    {
                        "user": [f"{name}-{index}" for index in range(1500)],
                        "arm": [name] * 1500,
                        "revenue": revenue,
                        "before": before,
                        "orders": orders,
                        "sessions": sessions,
                    }
                )
            )
        pq.write_table(pa.concat_tables(arms), path)
        for one in answer(read_experiment(path, columns), Question()).results:
            assert one.ci_low is not None
            assert one.ci_high is not None
            inside[one.metric] += one.ci_low <= truth[one.metric] <= one.ci_high
    assert 179 <= inside["r"] <= 200
    assert 179 <= inside["c"] <= 200


def test_estimates_compared_at_once_are_those_compared_by_hand() -> None:
    rng = np.random.default_rng(1)
    arms = estimate_welch(rng, 0.1, 1000)
    assert arms.variant is not None
    assert arms.control is not None
    by_hand = compare_estimates("welch_t", arms.variant, arms.control, FixedHorizon())
    assert by_hand == arms.compare(FixedHorizon())

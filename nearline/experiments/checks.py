"""Quality checks: can these data answer the question at all?

Belongs here: each check's arithmetic and what its result means. Not here: the sample
ratio itself (`sample_ratio`), problems that forbid a number (`findings`).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from nearline.experiments.analysis import Check, Status, status_of
from nearline.experiments.estimators import Layout, Stratum, estimate_arms
from nearline.experiments.inference import Comparison, FixedHorizon
from nearline.experiments.multiplicity import adjust_holm
from nearline.experiments.sample_ratio import SRM_WARNING_LEVEL, srm_p_value
from nearline.experiments.statistics import JointStatistics

if TYPE_CHECKING:
    import numpy as np

# Of an arm's units on a day, for the day's difference to count as nearly normal.
LEAST_UNITS_OF_A_DAY = 30
LEAST_DAYS = 3
AA_LEVEL = 0.05


def check_covariate(name: str, arms: "Mapping[str, np.ndarray]") -> Check:
    """Did the arms differ before the start? Welch's t for each pair, Holm over pairs."""
    return check_covariate_sums({name: _sum_up(arms)})


def check_covariate_sums(sums: Mapping[str, Mapping[str, JointStatistics]]) -> Check:
    """The same of covariates by name, each with one value per arm; Holm over all."""
    p_values: list[float] = []
    names: list[str] = []
    for one, arms in sums.items():
        for a, b in combinations(sorted(arms), 2):
            p_value = _compare(arms[a], arms[b]).p_value
            if p_value is not None:
                p_values.append(p_value)
                names.append(one)
    adjusted = adjust_holm(p_values)
    p_value = min(adjusted, default=None)
    name = ", ".join(sums) if p_value is None else names[adjusted.index(p_value)]
    if status_of(p_value) is Status.OK:
        name = ", ".join(dict.fromkeys(names))
    status = status_of(p_value)
    says = {
        Status.OK: f"the arms were alike in {name} before the start, within chance",
        Status.WARNING: f"the arms were somewhat unlike in {name} before the start",
        Status.ALARM: (
            f"the arms differ in {name}, which was measured before the start: "
            "assignment was not random, or it was measured too late"
        ),
        Status.UNKNOWN: f"{name} does not vary, so it shows and removes nothing",
    }
    return Check("covariate_balance", status, says[status], p_value)


def check_history(name: str, p_values: Sequence[float]) -> Check:
    """How often `name` differed between arms that nothing was done to: A/A comparisons.

    Args:
        p_values: of independent experiments, one each: several arms adjusted for.

    More differences at the 5 % level than chance gives: one-sided binomial test. Never an
    alarm, since it tells of other experiments.
    """
    from scipy.special import bdtrc

    count = len(p_values)
    found = sum(p_value < AA_LEVEL for p_value in p_values)
    p_value = float(bdtrc(found - 1, count, AA_LEVEL)) if found else 1.0
    of = "1 other experiment" if count == 1 else f"{count:,} other experiments"
    says = (
        f"{name} differed before the start in {found:,} of {of} at the "
        f"{AA_LEVEL * 100:g} % level, where chance gives {AA_LEVEL * count:.2g}"
    )
    if p_value < SRM_WARNING_LEVEL:
        says += ": its intervals may be too narrow, or arms are not drawn by chance"
        return Check("aa_history", Status.WARNING, says, p_value)
    return Check("aa_history", Status.OK, says, p_value)


def check_ratio_by_group(
    name: str,
    unit_counts: Mapping[str, Mapping[str, int]],
    weights: Mapping[str, float] | None,
) -> Check:
    """Sample ratio within each group (device, day), Holm over the groups."""
    p_values = {
        group: p_value
        for group, counts in unit_counts.items()
        if (p_value := srm_p_value(counts, weights)) is not None
    }
    adjusted = dict(zip(p_values, adjust_holm(list(p_values.values())), strict=True))
    worst = min(adjusted, key=adjusted.__getitem__, default=None)
    p_value = None if worst is None else adjusted[worst]
    status = status_of(p_value)
    says = {
        Status.OK: f"the arms' sizes are as planned in every {name}, within chance",
        Status.WARNING: f"the arms' sizes look unplanned where {name} is {worst}",
        Status.ALARM: f"the arms' sizes are not as planned where {name} is {worst}",
        Status.UNKNOWN: f"{name} has no value",
    }
    return Check(f"sample_ratio_by_{name}", status, says[status], p_value)


def check_outliers(
    name: str,
    arms: "Mapping[str, np.ndarray]",
    capped_arms: "Mapping[str, np.ndarray]",
) -> Check:
    """Would a handful of units decide? Compares with the top 0.1 % cut off.

    A warning where a pair's interval stops or starts to exclude no change, or the
    capped estimate lies outside the interval of the whole.
    """
    swayed = False
    sums, capped_sums = _sum_up(arms), _sum_up(capped_arms)
    for one, other in combinations(sorted(arms), 2):
        whole = _compare(sums[one], sums[other])
        capped = _compare(capped_sums[one], capped_sums[other])
        if whole.ci_low is None or whole.ci_high is None or capped.estimate is None:
            continue
        swayed |= _side(whole) != _side(capped)
        swayed |= not whole.ci_low <= capped.estimate <= whole.ci_high
    if swayed:
        return Check(
            "outliers",
            Status.WARNING,
            f"the largest 0.1 % of units decide what {name} shows; define it as "
            "winsorized(COLUMN,0.999) before the next experiment",
        )
    return Check(
        "outliers", Status.OK, f"{name} shows the same with its largest 0.1 % cut off"
    )


def check_trend(
    name: str, by_day: Sequence[Mapping[str, JointStatistics]], layout: Layout
) -> Check:
    """Does the effect fade or grow with the day of arrival (novelty)?

    Slope of the daily differences on the day, weighted by their errors; normal test,
    Holm over pairs of arms. Days in the order given.
    """
    variants = sorted({key for arms in by_day for key in arms})
    p_values = [
        p_value
        for one, other in combinations(variants, 2)
        if (p_value := _trend_p_value(by_day, one, other, layout)) is not None
    ]
    if not p_values:
        return Check(
            "novelty",
            Status.UNKNOWN,
            f"fewer than {LEAST_DAYS} days have {LEAST_UNITS_OF_A_DAY} units in an arm",
        )
    p_value = min(adjust_holm(p_values))
    # Never an alarm: an effect that changes with time is a finding, not a broken test.
    if p_value < 0.01:
        return Check(
            "novelty",
            Status.WARNING,
            f"the effect on {name} changes from day to day of arrival: read the last "
            "days, and run on until it is steady",
            p_value,
        )
    return Check(
        "novelty", Status.OK, f"the effect on {name} is steady over the days", p_value
    )


def _trend_p_value(
    by_day: Sequence[Mapping[str, JointStatistics]],
    one: str,
    other: str,
    layout: Layout,
) -> float | None:
    from scipy.special import ndtr

    points = []
    for day, arms in enumerate(by_day):
        if min(arms[one].unit_count, arms[other].unit_count) < LEAST_UNITS_OF_A_DAY:
            continue
        found = _compare(arms[one], arms[other], layout)
        if found.estimate is not None and found.standard_error:
            points.append((float(day), found.estimate, found.standard_error**-2))
    if len(points) < LEAST_DAYS:
        return None
    total = math.fsum(weight for _, _, weight in points)
    middle = math.fsum(day * weight for day, _, weight in points) / total
    spread = math.fsum(weight * (day - middle) ** 2 for day, _, weight in points)
    slope = math.fsum(w * (day - middle) * value for day, value, w in points) / spread
    return float(2 * ndtr(-abs(slope) * math.sqrt(spread)))


def _sum_up(arms: "Mapping[str, np.ndarray]") -> dict[str, JointStatistics]:
    return {key: JointStatistics.from_columns([arms[key]]) for key in arms}


def _compare(
    one: JointStatistics, other: JointStatistics, layout: Layout | None = None
) -> Comparison:
    arms = estimate_arms([Stratum(one, other)], layout or Layout())
    return arms.compare(FixedHorizon())


def _side(comparison: Comparison) -> int:
    if comparison.ci_low is None or comparison.ci_high is None:
        return 0
    return (comparison.ci_low > 0) - (comparison.ci_high < 0)

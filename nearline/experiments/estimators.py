"""From the joint statistics of two arms to an estimate of each: means, ratios, CUPED.

Belongs here: linearization, adjustment by a covariate, weighting by strata. Not here:
intervals and tests (`inference`), quantiles, which no sums can give (`quantiles`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nearline.experiments.inference import (
    ArmEstimate,
    Comparison,
    Horizon,
    Problem,
    compare_estimates,
)
from nearline.experiments.statistics import JointStatistics, add_up

# A ratio's linearization needs a denominator that many standard errors above zero.
LEAST_DENOMINATOR_ERRORS = 3.0


@dataclass(frozen=True, slots=True)
class Layout:
    """Which of a unit's values is what; the value itself, or numerator, is the first.

    Indices into `JointStatistics`; None where the metric has no such part.
    """

    denominator: int | None = None
    covariate: int | None = None
    covariate_denominator: int | None = None

    @property
    def method(self) -> str:
        base = "welch_t" if self.denominator is None else "ratio_delta_t"
        return base if self.covariate is None else f"{base}_cuped"


@dataclass(frozen=True, slots=True)
class Stratum:
    """The two arms within one group of units known before the start."""

    variant: JointStatistics
    control: JointStatistics


@dataclass(frozen=True, slots=True)
class ArmEstimates:
    """Both arms' estimates, or the problem that forbids them."""

    method: str
    problem: Problem | None = None
    variant: ArmEstimate | None = None
    control: ArmEstimate | None = None
    variance_removed: float | None = None
    """Share of the difference's variance that covariate and strata took away."""

    def compare(self, horizon: Horizon) -> Comparison:
        if self.variant is None or self.control is None:
            return Comparison(self.method, self.problem)
        return compare_estimates(self.method, self.variant, self.control, horizon)


def estimate_arms(strata: Sequence[Stratum], layout: Layout) -> ArmEstimates:
    """Estimate each arm's mean or ratio of means, adjusted where there is by what.

    Ratio: delta method (Deng, Knoblich and Lu, 2018, KDD). Covariate: CUPED with the
    slope of all units of both arms (Deng, Xu, Kohavi and Walker, 2013, WSDM), for a
    ratio on its linearized values. Several strata: post-stratification with the share
    of each in both arms (Miratrix, Sekhon and Yu, 2013, JRSS B 75). One stratum is the
    plain case. Units that belong together are one row: the unit is what was assigned.
    """
    method = layout.method if len(strata) == 1 else f"{layout.method}_poststratified"
    problem = _problem(strata)
    if problem is not None:
        return ArmEstimates(method, problem)
    for arm in (_total(strata, "variant"), _total(strata, "control")):
        for part in (layout.denominator, layout.covariate_denominator):
            if part is not None and not _is_clearly_positive(arm, part):
                return ArmEstimates(method, Problem.ZERO_DENOMINATOR)
    groups = [stratum.variant + stratum.control for stratum in strata]
    slope = _slope(groups, layout)
    adjusted = {
        name: _estimate(strata, groups, name, layout, slope)
        for name in ("variant", "control")
    }
    removed = None
    if layout.covariate is not None or len(strata) > 1:
        whole = [Stratum(_total(strata, "variant"), _total(strata, "control"))]
        raw = sum(
            _estimate(whole, groups, name, layout, 0.0).squared_error
            for name in ("variant", "control")
        )
        left = sum(estimate.squared_error for estimate in adjusted.values())
        removed = 1 - left / raw if raw > 0 else None
    return ArmEstimates(method, None, adjusted["variant"], adjusted["control"], removed)


def _problem(strata: Sequence[Stratum]) -> Problem | None:
    fewest = min(
        _total(strata, "variant").unit_count, _total(strata, "control").unit_count
    )
    if fewest < 2:
        return Problem.EMPTY_ARM if fewest < 1 else Problem.TOO_FEW_UNITS
    for stratum in strata:
        if not (stratum.variant.is_finite and stratum.control.is_finite):
            return Problem.NOT_A_NUMBER
        if min(stratum.variant.unit_count, stratum.control.unit_count) < 2:
            return Problem.EMPTY_STRATUM
    return None


def _is_clearly_positive(arm: JointStatistics, part: int) -> bool:
    error = math.sqrt(arm.covariance(part, part) / arm.unit_count)
    return arm.means[part] > 0 and arm.means[part] > LEAST_DENOMINATOR_ERRORS * error


def _slope(groups: Sequence[JointStatistics], layout: Layout) -> float:
    """Of the metric on the covariate, within strata and over both arms together."""
    if layout.covariate is None:
        return 0.0
    means = _weighted_means(groups, [group.unit_count for group in groups])
    value = gradient_of(means, 0, layout.denominator)
    covariate = gradient_of(means, layout.covariate, layout.covariate_denominator)
    spread = shared = 0.0
    for group in groups:
        freedom = group.unit_count - 1
        spread += freedom * group.covariance_of_sums(covariate, covariate)
        shared += freedom * group.covariance_of_sums(value, covariate)
    return shared / spread if spread > 0 else 0.0


def _estimate(
    strata: Sequence[Stratum],
    groups: Sequence[JointStatistics],
    name: str,
    layout: Layout,
    slope: float,
) -> ArmEstimate:
    arms: list[JointStatistics] = [getattr(stratum, name) for stratum in strata]
    sizes = [s.variant.unit_count + s.control.unit_count for s in strata]
    means = _weighted_means(arms, sizes)
    weights = gradient_of(means, 0, layout.denominator)
    point = _point(means, 0, layout.denominator)
    if layout.covariate is not None and slope:
        parts = (layout.covariate, layout.covariate_denominator)
        both = _weighted_means(groups, sizes)
        point -= slope * (_point(means, *parts) - _point(both, *parts))
        weights = [
            value - slope * covariate
            for value, covariate in zip(
                weights, gradient_of(means, *parts), strict=True
            )
        ]
    total = sum(sizes)
    squared_error = add_up(
        [
            (size / total) ** 2
            * arm.covariance_of_sums(weights, weights)
            / arm.unit_count
            for arm, size in zip(arms, sizes, strict=True)
        ]
    )
    return ArmEstimate(
        point, max(squared_error, 0.0), sum(arm.unit_count for arm in arms)
    )


def _point(means: Sequence[float], value: int, denominator: int | None) -> float:
    return means[value] / (1.0 if denominator is None else means[denominator])


def gradient_of(
    means: Sequence[float], value: int, denominator: int | None
) -> list[float]:
    """Of mean or ratio by the means of all values: the delta method's weights."""
    gradient = [0.0] * len(means)
    if denominator is None:
        gradient[value] = 1.0
    else:
        gradient[value] = 1 / means[denominator]
        # Twice divided: the square of a tiny or huge mean is beyond a float.
        gradient[denominator] -= means[value] / means[denominator] / means[denominator]
    return gradient


def _weighted_means(
    arms: Sequence[JointStatistics], sizes: Sequence[int]
) -> list[float]:
    if len(arms) == 1:
        return list(arms[0].means)
    total = sum(sizes)
    return [
        add_up(
            [
                size * arm.means[part] / total
                for arm, size in zip(arms, sizes, strict=True)
            ]
        )
        for part in range(len(arms[0].means))
    ]


def _total(strata: Sequence[Stratum], name: str) -> JointStatistics:
    """Of one arm over all strata."""
    total: JointStatistics = getattr(strata[0], name)
    for stratum in strata[1:]:
        total = total + getattr(stratum, name)
    return total

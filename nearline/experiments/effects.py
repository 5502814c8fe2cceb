"""How an effect came about: day by day, and in groups of units, drawn to what is common.

Belongs here: estimates beside the one of the whole. Not here: the whole (`analysis`), or
how any of it is drawn.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from nearline.experiments.estimators import Layout, Stratum, estimate_arms
from nearline.experiments.expressions import MetricKind
from nearline.experiments.inference import Comparison, FixedHorizon, Horizon
from nearline.experiments.multiplicity import adjust_holm
from nearline.experiments.warehouse_experiment import KINDS, Analysis, Sums

LEAST_UNITS_OF_A_GROUP = 30
"""Of each arm: below, an estimate's own error is not known."""


@dataclass(frozen=True, slots=True)
class DayEffect:
    """Variant against control as known at the end of a day, in the metric's unit."""

    day: date
    unit_count: int
    estimate: float
    ci_low: float
    ci_high: float
    relative: float | None
    relative_ci_low: float | None
    relative_ci_high: float | None


@dataclass(frozen=True, slots=True)
class Drawn:
    """An effect and its standard error, both drawn to the mean of all effects."""

    estimate: float
    standard_error: float


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """What effects have in common: their mean, its error, the spread of true effects
    around it (standard deviation), and how probable so unlike ones are by chance."""

    mean: float
    standard_error: float
    spread: float
    p_value: float


@dataclass(frozen=True, slots=True)
class GroupEffect:
    """Variant against control among the units of one group, in the metric's unit.

    `estimate` and its interval are the group's own; `drawn` and its interval are drawn to
    what all groups of the dimension show, and are what to read.
    """

    value: str
    unit_count: int
    estimate: float
    ci_low: float
    ci_high: float
    drawn: float
    drawn_ci_low: float
    drawn_ci_high: float


@dataclass(frozen=True, slots=True)
class DimensionEffects:
    """The groups of one dimension; `p_value` is over all dimensions that are looked at."""

    dimension: str
    groups: tuple[GroupEffect, ...]
    small_group_count: int
    p_value: float | None

    @property
    def differs(self) -> bool:
        """Whether the effect differs between groups beyond chance."""
        return self.p_value is not None and self.p_value < 0.05


def daily_effects(
    analysis: Analysis, metric: str, variant: str
) -> tuple[DayEffect, ...]:
    """The estimate as it was known at the end of each day; from the first day that has one.

    Under the horizon of the whole. Empty where phases or a quantile leave no such sums.
    """
    if analysis.since is not None or metric not in analysis.tables.up_to_day:
        return ()
    latest: dict[str, Sums] = {}
    found = []
    for day, arms in sorted(analysis.tables.up_to_day[metric].items()):
        latest |= arms
        if not {variant, analysis.answer.control} <= latest.keys():
            continue
        compared = _compare(
            latest[variant],
            latest[analysis.answer.control],
            analysis.layouts[metric],
            analysis.question.horizon,
        )
        if compared.estimate is None or compared.ci_low is None:
            continue
        assert compared.ci_high is not None
        found.append(
            DayEffect(
                day,
                sum(sums.unit_count for sums in latest.values()),
                compared.estimate,
                compared.ci_low,
                compared.ci_high,
                compared.relative_lift,
                compared.relative_ci_low,
                compared.relative_ci_high,
            )
        )
    return tuple(found)


def group_effects(
    analysis: Analysis, metric: str, variant: str
) -> tuple[DimensionEffects, ...]:
    """Of each dimension the effect within its groups, the largest group first.

    Whether groups differ is asked of every dimension at once: Holm over dimensions.
    """
    if analysis.since is not None or metric not in analysis.tables.by_group:
        return ()
    by_dimension: dict[str, dict[str, Mapping[str, Sums]]] = {}
    for (dimension, value), arms in analysis.tables.by_group[metric].items():
        by_dimension.setdefault(dimension, {})[value] = arms
    made = [
        _dimension(analysis, metric, variant, dimension, groups)
        for dimension, groups in sorted(by_dimension.items())
    ]
    adjusted = iter(
        adjust_holm([p_value for _, p_value in made if p_value is not None])
    )
    return tuple(
        DimensionEffects(
            effects.dimension,
            effects.groups,
            effects.small_group_count,
            None if p_value is None else next(adjusted),
        )
        for effects, p_value in made
    )


def draw_together(
    effects: Sequence[tuple[float, float]],
) -> tuple[tuple[Drawn, ...], Heterogeneity]:
    """Empirical Bayes on (estimate, standard error) of two or more groups.

    The spread of the true effects by DerSimonian and Laird (1986), Controlled Clinical
    Trials 7; each estimate is then drawn to the mean by the share of its variance that is
    error (Efron and Morris, 1975, JASA 70), and carries the error of the mean besides.
    """
    from scipy.special import chdtrc

    weights = [error**-2 for _, error in effects]
    total = math.fsum(weights)
    plain = (
        math.fsum(w * value for w, (value, _) in zip(weights, effects, strict=True))
        / total
    )
    q = math.fsum(
        w * (value - plain) ** 2 for w, (value, _) in zip(weights, effects, strict=True)
    )
    freedom = len(effects) - 1
    scale = total - math.fsum(w * w for w in weights) / total
    spread_squared = max(0.0, (q - freedom) / scale)
    shared = [1 / (error**2 + spread_squared) for _, error in effects]
    mean = math.fsum(
        w * value for w, (value, _) in zip(shared, effects, strict=True)
    ) / math.fsum(shared)
    mean_error = math.fsum(shared) ** -0.5
    drawn = []
    for value, error in effects:
        kept = spread_squared / (spread_squared + error**2)
        variance = kept * error**2 + (1 - kept) ** 2 * mean_error**2
        drawn.append(Drawn(mean + kept * (value - mean), math.sqrt(variance)))
    return tuple(drawn), Heterogeneity(
        mean, mean_error, math.sqrt(spread_squared), float(chdtrc(freedom, q))
    )


def _dimension(
    analysis: Analysis,
    metric: str,
    variant: str,
    dimension: str,
    groups: Mapping[str, Mapping[str, Sums]],
) -> tuple[DimensionEffects, float | None]:
    from scipy.special import ndtri

    control = analysis.answer.control
    kind = next(KINDS[one.kind] for one in analysis.metrics if one.name == metric)
    layout = Layout(denominator=1 if kind is MetricKind.RATIO else None)
    compared: list[tuple[str, int, Comparison]] = []
    small = 0
    for value, arms in groups.items():
        sizes = [
            arms[name].unit_count if name in arms else 0 for name in (variant, control)
        ]
        if min(sizes) < LEAST_UNITS_OF_A_GROUP:
            small += 1
            continue
        found = _compare(arms[variant], arms[control], layout, FixedHorizon())
        if found.estimate is None or not found.standard_error:
            small += 1
            continue
        compared.append((value, sum(sizes), found))
    compared.sort(key=lambda one: (-one[1], one[0]))
    if len(compared) < 2:
        return DimensionEffects(dimension, (), small, None), None
    drawn, common = draw_together(
        [(one.estimate or 0.0, one.standard_error or 0.0) for _, _, one in compared]
    )
    critical = float(ndtri(0.975))
    effects = []
    for (value, count, one), closer in zip(compared, drawn, strict=True):
        assert one.estimate is not None
        assert one.ci_low is not None
        assert one.ci_high is not None
        effects.append(
            GroupEffect(
                value,
                count,
                one.estimate,
                one.ci_low,
                one.ci_high,
                closer.estimate,
                closer.estimate - critical * closer.standard_error,
                closer.estimate + critical * closer.standard_error,
            )
        )
    return DimensionEffects(dimension, tuple(effects), small, None), common.p_value


def _compare(
    variant: Sums, control: Sums, layout: Layout, horizon: Horizon
) -> Comparison:
    is_adjusted = layout.covariate is not None
    fewest = min(variant.unit_count, control.unit_count)
    if fewest < max(horizon.least_unit_count, 2):
        return Comparison("none")
    arms = estimate_arms(
        [
            Stratum(
                variant.joint(is_adjusted=is_adjusted),
                control.joint(is_adjusted=is_adjusted),
            )
        ],
        layout,
    )
    return arms.compare(horizon)

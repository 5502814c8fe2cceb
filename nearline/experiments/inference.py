"""Two arms compared: difference, interval, p-value, relative lift, or a named problem.

Belongs here: arithmetic on the sums of two arms. Not here: which arms are compared and
how metrics are named (`results`), words (`verdict`), the split itself
(`sample_ratio`). A method for the marts is one more function in `METHODS`; one for files
of units makes two `ArmEstimate`s.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from nearline.errors import InputError
from nearline.experiments.statistics import SufficientStatistics

DEFAULT_CONFIDENCE_LEVEL = 0.95

# Cochran's rule of thumb for the normal approximation of counts.
LEAST_EXPECTED_COUNT = 5

# A 0/1 value equals its square; sums of them may differ by rounding alone.
PROPORTION_TOLERANCE = 1e-9


class Problem(StrEnum):
    """Why no conclusion can be drawn; `verdict` knows what to do about each."""

    NOT_A_NUMBER = "not_a_number"
    NEGATIVE_COUNT = "negative_count"
    NEGATIVE_SUM_OF_SQUARES = "negative_sum_of_squares"
    CONTRADICTORY_SUMS = "contradictory_sums"
    NOT_A_PROPORTION = "not_a_proportion"
    ZERO_DENOMINATOR = "zero_denominator"
    EMPTY_STRATUM = "empty_stratum"
    EMPTY_ARM = "empty_arm"
    TOO_FEW_UNITS = "too_few_units"
    TOO_EARLY_TO_LOOK = "too_early_to_look"
    ZERO_VARIANCE = "zero_variance"
    UNKNOWN_METRIC_KIND = "unknown_metric_kind"
    MIXED_METRIC_KINDS = "mixed_metric_kinds"
    TOO_FEW_OUTCOMES = "too_few_outcomes"
    """The one problem with numbers beside it: they are right, but approximate badly."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Variant minus control. All numbers are None where a problem forbids them."""

    method: str
    problem: Problem | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    p_value: float | None = None
    relative_lift: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    standard_error: float | None = None
    """Of the estimate; what a Bayesian summary or a margin starts from."""


@dataclass(frozen=True, slots=True)
class ArmEstimate:
    """What one arm says about a metric: a point and the squared error of that point.

    Every metric comes down to it: a mean, a ratio linearized by the delta method, an
    adjusted mean, a quantile. `unit_count` gives Welch's degrees of freedom.
    """

    point: float
    squared_error: float
    unit_count: int


class Horizon(Protocol):
    """When the data may be looked at, which decides how wide an interval must be."""

    @property
    def name(self) -> str:
        """For machines; it keeps its meaning."""

    @property
    def is_over(self) -> bool:
        """Whether this look was the last one that the plan allows."""

    @property
    def least_unit_count(self) -> int:
        """Units of each arm below which its guarantee is not given."""

    @property
    def confidence_level(self) -> float:
        """Share of experiments whose interval holds the truth, at all allowed looks."""

    def critical(self, degrees: float, unit_count: int) -> float:
        """Half-width of the interval, in standard errors of the estimate."""

    def p_value(self, statistic: float, degrees: float, unit_count: int) -> float:
        """Of an estimate that is `statistic` standard errors away from no change."""


@dataclass(frozen=True, slots=True)
class FixedHorizon:
    """One look, at the planned end: Student's t."""

    name: ClassVar[str] = "fixed"
    is_over: ClassVar[bool] = True
    least_unit_count: ClassVar[int] = 0

    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL

    def critical(self, degrees: float, unit_count: int) -> float:
        from scipy.special import stdtrit

        return float(stdtrit(degrees, (1 + self.confidence_level) / 2))

    def p_value(self, statistic: float, degrees: float, unit_count: int) -> float:
        from scipy.special import stdtr

        return float(2 * stdtr(degrees, -abs(statistic)))


Method = Callable[[SufficientStatistics, SufficientStatistics, float], Comparison]


def compare(
    metric_kind: str,
    variant: SufficientStatistics,
    control: SufficientStatistics,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Comparison:
    """Compare by the method of the metric's kind (`METHODS`)."""
    method = METHODS.get(metric_kind)
    if method is None:
        return Comparison("none", Problem.UNKNOWN_METRIC_KIND)
    return method(variant, control, confidence_level)


def compare_means(
    variant: SufficientStatistics,
    control: SufficientStatistics,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Comparison:
    """Welch's t: unequal variances, Welch-Satterthwaite degrees of freedom.

    Welch (1947), Biometrika 34. Units are those of the value.
    """
    name = "welch_t"
    problem = _problem(variant) or _problem(control) or _arm_size(variant, control)
    if problem is not None:
        return Comparison(name, problem)
    return compare_estimates(
        name,
        ArmEstimate(
            variant.mean, variant.variance / variant.unit_count, variant.unit_count
        ),
        ArmEstimate(
            control.mean, control.variance / control.unit_count, control.unit_count
        ),
        FixedHorizon(confidence_level),
    )


def compare_estimates(
    method: str, variant: ArmEstimate, control: ArmEstimate, horizon: Horizon
) -> Comparison:
    """Difference and relative lift of two independent estimates, under a horizon.

    Degrees of freedom by Welch (1947) and Satterthwaite (1946); relative lift by the
    delta method. ZERO_VARIANCE where neither arm has a spread.
    """
    require_level(horizon.confidence_level)
    problem = _arm_size(variant, control)
    if problem is not None:
        return Comparison(method, problem)
    squared_error = variant.squared_error + control.squared_error
    if not math.isfinite(squared_error):
        return Comparison(method, Problem.NOT_A_NUMBER)
    if not squared_error > 0:
        return Comparison(method, Problem.ZERO_VARIANCE)
    # Shares, not the parts themselves: squares of tiny variances would underflow.
    variant_share = variant.squared_error / squared_error
    control_share = control.squared_error / squared_error
    degrees = 1 / (
        variant_share**2 / (variant.unit_count - 1)
        + control_share**2 / (control.unit_count - 1)
    )
    unit_count = variant.unit_count + control.unit_count
    statistic = (variant.point - control.point) / math.sqrt(squared_error)
    return _comparison(
        method,
        variant.point,
        control.point,
        variant.squared_error,
        control.squared_error,
        critical=horizon.critical(degrees, unit_count),
        p_value=horizon.p_value(statistic, degrees, unit_count),
    )


def compare_proportions(
    variant: SufficientStatistics,
    control: SufficientStatistics,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> Comparison:
    """Two-proportion z; the value of a unit is 0 or 1.

    The interval takes the unpooled (Wald) standard error, since it is about rates that
    may differ; the p-value takes the pooled one, since under the null they are equal.
    At the very edge the two can disagree: the verdict then concludes nothing.
    """
    from scipy.special import ndtr, ndtri

    require_level(confidence_level)
    name = "two_proportion_z"
    problem = (
        _problem(variant)
        or _problem(control)
        or _proportion_problem(variant)
        or _proportion_problem(control)
        or _arm_size(variant, control)
    )
    if problem is not None:
        return Comparison(name, problem)
    rate, control_rate = variant.mean, control.mean
    variant_part = rate * (1 - rate) / variant.unit_count
    control_part = control_rate * (1 - control_rate) / control.unit_count
    if not variant_part + control_part > 0:
        return Comparison(name, Problem.ZERO_VARIANCE)
    pooled = (variant + control).mean
    pooled_error = math.sqrt(
        pooled * (1 - pooled) * (1 / variant.unit_count + 1 / control.unit_count)
    )
    fewest = min(variant.unit_count, control.unit_count) * min(pooled, 1 - pooled)
    return _comparison(
        name,
        rate,
        control_rate,
        variant_part,
        control_part,
        critical=float(ndtri((1 + confidence_level) / 2)),
        p_value=float(2 * ndtr(-abs(rate - control_rate) / pooled_error)),
        problem=Problem.TOO_FEW_OUTCOMES if fewest < LEAST_EXPECTED_COUNT else None,
    )


def homogeneity_p_value(arms: Sequence[SufficientStatistics]) -> float | None:
    """Pearson's chi-square: do all arms share one rate? Of two arms, the z test squared.

    None where fewer than two arms have units, a value is neither 0 nor 1, or all are
    equal; Cochran's rule of 5 expected in each cell is the caller's to keep.
    """
    from scipy.special import chdtrc

    used = [arm for arm in arms if arm.unit_count > 0]
    if len(used) < 2 or any(map(_problem, used)) or any(map(_proportion_problem, used)):
        return None
    rate = SufficientStatistics.total(used).mean
    if not 0 < rate < 1:
        return None
    statistic = math.fsum(
        (arm.value_sum - arm.unit_count * rate) ** 2
        / (arm.unit_count * rate * (1 - rate))
        for arm in used
    )
    return float(chdtrc(len(used) - 1, statistic))


METHODS: Mapping[str, Method] = {
    "mean": compare_means,
    "count": compare_means,
    "revenue": compare_means,
    "time_to_event": compare_means,
    "proportion": compare_proportions,
    "retention": compare_proportions,
}
"""The seam for what comes later: a metric kind and the function that compares it."""


def _comparison(
    method: str,
    mean: float,
    control_mean: float,
    squared_error: float,
    control_squared_error: float,
    *,
    critical: float,
    p_value: float,
    problem: Problem | None = None,
) -> Comparison:
    estimate = mean - control_mean
    error = math.sqrt(squared_error + control_squared_error)
    numbers = (estimate, error, critical, p_value)
    if not all(math.isfinite(number) for number in numbers):
        return Comparison(method, Problem.NOT_A_NUMBER)
    lift = lift_low = lift_high = None
    # Fieller: once the control's own interval reaches zero, the ratio is unbounded and
    # the delta method's finite interval would mislead.
    if control_mean - critical * math.sqrt(control_squared_error) > 0:
        ratio = mean / control_mean
        lift_error = math.hypot(
            math.sqrt(squared_error), ratio * math.sqrt(control_squared_error)
        )
        lift_error /= control_mean
        if math.isfinite(ratio) and math.isfinite(lift_error):
            lift = ratio - 1
            lift_low = lift - critical * lift_error
            lift_high = lift + critical * lift_error
    return Comparison(
        method,
        problem,
        estimate,
        estimate - critical * error,
        estimate + critical * error,
        p_value,
        lift,
        lift_low,
        lift_high,
        error,
    )


def _problem(arm: SufficientStatistics) -> Problem | None:
    if not arm.is_finite:
        return Problem.NOT_A_NUMBER
    if arm.unit_count < 0:
        return Problem.NEGATIVE_COUNT
    if arm.value_sum_squares < 0:
        return Problem.NEGATIVE_SUM_OF_SQUARES
    if arm.is_contradictory:
        return Problem.CONTRADICTORY_SUMS
    return None


def _proportion_problem(arm: SufficientStatistics) -> Problem | None:
    tolerance = PROPORTION_TOLERANCE * max(arm.unit_count, 1)
    is_zero_or_one = (
        abs(arm.value_sum - arm.value_sum_squares) <= tolerance
        and 0 <= arm.value_sum <= arm.unit_count
    )
    return None if is_zero_or_one else Problem.NOT_A_PROPORTION


def _arm_size(
    variant: SufficientStatistics | ArmEstimate,
    control: SufficientStatistics | ArmEstimate,
) -> Problem | None:
    fewest = min(variant.unit_count, control.unit_count)
    if fewest == 0:
        return Problem.EMPTY_ARM
    return Problem.TOO_FEW_UNITS if fewest < 2 else None


def require_level(confidence_level: float) -> None:
    """InputError unless it lies strictly between 0 and 1."""
    if not 0 < confidence_level < 1:
        raise InputError(
            "confidence_level must lie between 0 and 1; give 0.95 for 95 %"
        )

"""Before the start: how many units, for how long, and what could then be seen.

Two-sided normal tests on the difference of two arms. A standard deviation is that of one
unit's value; for a ratio metric that of its linearized value.
"""

import math
from dataclasses import dataclass

from nearline.errors import InputError
from nearline.experiments.estimators import gradient_of
from nearline.experiments.inference import DEFAULT_CONFIDENCE_LEVEL, require_level
from nearline.experiments.statistics import JointStatistics

DEFAULT_POWER = 0.8


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Units that each arm needs, rounded up."""

    variant_unit_count: int
    control_unit_count: int

    def days(self, units_per_day: float) -> int:
        """Whole days until both arms together have their units."""
        if not units_per_day > 0:
            raise InputError("units per day must be above 0")
        total = self.variant_unit_count + self.control_unit_count
        return math.ceil(total / units_per_day)


def deviation_of_proportion(rate: float) -> float:
    """Standard deviation of a unit's 0 or 1."""
    if not 0 < rate < 1:
        raise InputError("a rate must lie between 0 and 1; give 0.05 for 5 %")
    return math.sqrt(rate * (1 - rate))


def deviation_of_ratio(history: JointStatistics) -> float:
    """Standard deviation of a unit's linearized ratio (numerator, denominator).

    By the delta method, Deng, Knoblich and Lu (2018), KDD.
    """
    weights = gradient_of(history.means, 0, 1)
    return math.sqrt(history.covariance_of_sums(weights, weights))


def shift_for(power: float, confidence_level: float) -> float:
    """True effect, in standard errors, that is seen with this power; both tails."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    require_level(confidence_level)
    if not 1 - confidence_level < power < 1:
        raise InputError("power must lie between the false-positive rate and 1")
    critical = float(ndtri((1 + confidence_level) / 2))
    root = brentq(
        lambda shift: power_of(shift, 1.0, confidence_level) - power,
        0.0,
        critical + float(ndtri(power)) + 10,
        xtol=1e-13,
    )
    return float(root)


def plan_sample_size(
    effect: float,
    control_deviation: float,
    variant_deviation: float | None = None,
    *,
    power: float = DEFAULT_POWER,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
    units_per_control_unit: float = 1.0,
) -> SampleSize:
    """Units needed to see an absolute `effect` of either sign with this power.

    `units_per_control_unit` is the variant's size per unit of control.
    """
    if effect == 0 or not math.isfinite(effect):
        raise InputError("the effect must be a number other than 0")
    if not units_per_control_unit > 0:
        raise InputError("the variant's share must be above 0")
    if variant_deviation is None:
        variant_deviation = control_deviation
    control = _variance_per_unit(
        control_deviation, variant_deviation, units_per_control_unit
    )
    exact = control * (shift_for(power, confidence_level) / effect) ** 2
    return SampleSize(math.ceil(exact * units_per_control_unit), math.ceil(exact))


def detectable_effect(
    control_unit_count: float,
    deviation: float,
    *,
    power: float = DEFAULT_POWER,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
    units_per_control_unit: float = 1.0,
) -> float:
    """Smallest absolute effect that is seen with this power (MDE); arms vary alike."""
    variance = _variance_per_unit(deviation, deviation, units_per_control_unit)
    return shift_for(power, confidence_level) * math.sqrt(variance / control_unit_count)


def power_of(
    effect: float,
    standard_error: float,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
) -> float:
    """Chance that a true absolute effect is seen, given the difference's error."""
    from scipy.special import ndtr, ndtri

    require_level(confidence_level)
    critical = float(ndtri((1 + confidence_level) / 2))
    shift = effect / standard_error
    return float(ndtr(shift - critical) + ndtr(-shift - critical))


def _variance_per_unit(
    control_deviation: float, variant_deviation: float, ratio: float
) -> float:
    """Variance of the difference, times the number of control units."""
    if not (control_deviation > 0 and variant_deviation >= 0):
        raise InputError("a standard deviation must be above 0")
    return control_deviation**2 + variant_deviation**2 / ratio

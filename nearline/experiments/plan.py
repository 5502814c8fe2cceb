"""A plan: units and days for an effect, or the smallest effect for given units."""

import math
from dataclasses import dataclass

from nearline.errors import InputError
from nearline.experiments.baseline import Baseline
from nearline.experiments.power import SampleSize, detectable_effect, plan_sample_size


@dataclass(frozen=True, slots=True)
class Plan:
    """`relative_effect` of the baseline is seen by these units with this power."""

    baseline: float
    standard_deviation: float
    relative_effect: float
    absolute_effect: float
    control_unit_count: int
    variant_unit_count: int
    days: int | None
    power: float
    confidence_level: float

    @property
    def sentence(self) -> str:
        duration = f" ({self.days:,} days)" if self.days is not None else ""
        return (
            f"{self.control_unit_count:,} units of control and "
            f"{self.variant_unit_count:,} of the variant{duration} see a change of "
            f"{100 * self.relative_effect:+.3g} % ({self.absolute_effect:+.4g} on "
            f"{self.baseline:.6g}) in {100 * self.power:g} of 100 experiments, at "
            f"{100 * self.confidence_level:g} % confidence and one look at the end."
        )


def plan_for_effect(
    baseline: Baseline,
    relative_effect: float,
    *,
    power: float,
    confidence_level: float,
    variant_share: float,
    units_per_day: float | None = None,
) -> Plan:
    """Units that a relative effect of either sign needs."""
    _require_level_above_zero(baseline)
    effect = relative_effect * baseline.level
    size = plan_sample_size(
        effect,
        baseline.standard_deviation,
        baseline.deviation_at(relative_effect),
        power=power,
        confidence_level=confidence_level,
        units_per_control_unit=variant_share / (1 - variant_share),
    )
    effects = (relative_effect, effect)
    return _plan(baseline, effects, size, units_per_day, power, confidence_level)


def plan_for_units(
    baseline: Baseline,
    unit_count: int,
    *,
    power: float,
    confidence_level: float,
    variant_share: float,
    units_per_day: float | None = None,
) -> Plan:
    """Smallest effect that units of both arms show; the arms vary alike."""
    _require_level_above_zero(baseline)
    control = unit_count * (1 - variant_share)
    effect = detectable_effect(
        control,
        baseline.standard_deviation,
        power=power,
        confidence_level=confidence_level,
        units_per_control_unit=variant_share / (1 - variant_share),
    )
    variant = round(unit_count * variant_share)
    size = SampleSize(variant, unit_count - variant)
    effects = (effect / baseline.level, effect)
    return _plan(baseline, effects, size, units_per_day, power, confidence_level)


def _plan(
    baseline: Baseline,
    effects: tuple[float, float],
    size: SampleSize,
    units_per_day: float | None,
    power: float,
    confidence_level: float,
) -> Plan:
    """`effects` are relative and absolute: worked out anew, either may round apart."""
    return Plan(
        baseline.level,
        baseline.standard_deviation,
        *effects,
        size.control_unit_count,
        size.variant_unit_count,
        None if units_per_day is None else size.days(units_per_day),
        power,
        confidence_level,
    )


def _require_level_above_zero(baseline: Baseline) -> None:
    if not 0 < baseline.level < math.inf:
        raise InputError("the baseline must be above 0; a relative effect needs one")

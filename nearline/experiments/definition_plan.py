"""A plan of a defined experiment by the warehouse's own history.

Belongs here: from what the units did before to units, days and what could be seen. Not
here: reading the history (`history`), or the formulas (`plan`, `power`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nearline.errors import InputError
from nearline.experiments.baseline import Baseline
from nearline.experiments.definitions import ExperimentDefinition, HorizonKind
from nearline.experiments.history import History, MetricHistory, Traffic
from nearline.experiments.metrics import DECISION_LATENCY, ExperimentMetric
from nearline.experiments.plan import Plan, plan_for_effect, plan_for_units

Role = Literal["primary", "secondary", "guardrail"]

_HORIZON_WORDS: dict[HorizonKind, str] = {
    "fixed": "one look at the planned end",
    "group_sequential": "planned looks, which need a few per cent more units than one",
    "always_valid": "looks at any time, whose interval is about half as wide again as "
    "that of one: more than twice the units",
}


@dataclass(frozen=True, slots=True)
class MetricPlan:
    """What could be seen of one metric.

    `for_effect` is for the effect that the experiment is planned for (the primary metric
    alone), `in_time` what could be seen in its planned days; the `adjusted` ones take the
    value of before as covariate. `problem` says why there are none.
    """

    metric: str
    role: Role
    variant: str
    for_effect: Plan | None = None
    adjusted_for_effect: Plan | None = None
    in_time: Plan | None = None
    adjusted_in_time: Plan | None = None
    variance_removed: float | None = None
    margin: float | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class DefinitionPlan:
    """The plan. `variant` of the metrics is the smallest one: it waits longest."""

    key: str
    unit: str
    traffic: Traffic
    planned_days: int | None
    horizon: HorizonKind
    metrics: tuple[MetricPlan, ...]


def plan_definition(
    definition: ExperimentDefinition,
    metrics: Sequence[ExperimentMetric],
    history: History,
    *,
    effect: float | None,
    days: int | None,
    power: float,
    confidence_level: float,
) -> DefinitionPlan:
    """Plans every metric of a definition.

    Args:
        effect: relative change of the primary metric; default: the definition's.
        days: how long it is to run; default: from its start to its stop.

    Raises:
        InputError: the primary metric cannot be planned.
    """
    effect = definition.expected_effect if effect is None else effect
    days = _planned_days(definition) if days is None else days
    if effect is None and days is None:
        raise InputError(
            f"{definition.key}.yml: expected_effect: is not set, and there is no "
            "stops_at; set one of them, or give --effect or --for-days"
        )
    traffic = history.traffic()
    control = definition.variants[definition.control]
    variant = min(
        (one for one in definition.variants if one != definition.control),
        key=lambda one: definition.variants[one],
    )
    pair = control + definition.variants[variant]
    per_day = traffic.eligible_units_per_day * pair / sum(definition.variants.values())
    known = {metric.name: metric for metric in metrics}
    primary = definition.primary_metric
    roles: dict[str, Role] = {primary: "primary"}
    roles |= dict.fromkeys(definition.metrics, "secondary")
    roles |= dict.fromkeys(definition.guardrails, "guardrail")
    planned = []
    for name, role in roles.items():
        if name == DECISION_LATENCY.name:
            nothing = f"{name} has no history before the arms' own decisions"
            planned.append(MetricPlan(name, role, variant, problem=nothing))
            continue
        planner = _Planner(
            definition.variants[variant] / pair, per_day, power, confidence_level
        )
        try:
            found = history.metric(known[name])
        except InputError as problem:
            if role == "primary":
                raise
            planned.append(MetricPlan(name, role, variant, problem=str(problem)))
            continue
        planned.append(
            planner.plan(
                found,
                role,
                variant,
                effect if role == "primary" else None,
                days,
                definition.guardrails.get(name),
            )
        )
    return DefinitionPlan(
        definition.key,
        definition.analysed_by,
        traffic,
        days,
        definition.horizon,
        tuple(planned),
    )


@dataclass(frozen=True, slots=True)
class _Planner:
    variant_share: float
    units_per_day: float
    power: float
    confidence_level: float

    def plan(
        self,
        found: MetricHistory,
        role: Role,
        variant: str,
        effect: float | None,
        days: int | None,
        margin: float | None,
    ) -> MetricPlan:
        return MetricPlan(
            found.metric,
            role,
            variant,
            self._for_effect(found.baseline, effect),
            self._for_effect(found.adjusted, effect),
            self._in_time(found.baseline, days),
            self._in_time(found.adjusted, days),
            found.variance_removed,
            margin,
        )

    def _for_effect(
        self, baseline: Baseline | None, effect: float | None
    ) -> Plan | None:
        if baseline is None or effect is None:
            return None
        return plan_for_effect(
            baseline,
            effect,
            power=self.power,
            confidence_level=self.confidence_level,
            variant_share=self.variant_share,
            units_per_day=self.units_per_day,
        )

    def _in_time(self, baseline: Baseline | None, days: int | None) -> Plan | None:
        units = 0 if days is None else math.floor(self.units_per_day * days)
        if baseline is None or units < 4:
            return None
        return plan_for_units(
            baseline,
            units,
            power=self.power,
            confidence_level=self.confidence_level,
            variant_share=self.variant_share,
            units_per_day=self.units_per_day,
        )


def describe_plan(plan: DefinitionPlan) -> list[str]:
    """The plan in words, the primary metric first."""
    traffic = plan.traffic
    lines = []
    for one in plan.metrics:
        if one.problem is not None:
            lines.append(f"{one.metric} ({one.role}): {one.problem}")
            continue
        if one.for_effect is not None:
            lines.append(f"{one.metric} ({one.role}): {one.for_effect.sentence}")
            lines += _saving(one)
        if one.in_time is not None:
            shown = f"{100 * one.in_time.relative_effect:.3g} %"
            if one.adjusted_in_time is not None:
                shown += (
                    f", or {100 * one.adjusted_in_time.relative_effect:.3g} % with the "
                    "value of before as covariate"
                )
            margin = ""
            if one.margin is not None:
                margin = f"; it may be worse by at most {100 * one.margin:g} %"
            lines.append(
                f"{one.metric} ({one.role}): {plan.planned_days} days show a change of "
                f"{shown}{margin}"
            )
    lines.append(
        f"history: {traffic.days} days to {traffic.last_day}, "
        f"{traffic.units_per_day:,.1f} {plan.unit}s a day, of which "
        f"{traffic.eligible_units_per_day:,.1f} would be in the experiment"
    )
    lines.append(f"planned for {_HORIZON_WORDS[plan.horizon]}")
    return lines


def _saving(one: MetricPlan) -> list[str]:
    adjusted = one.adjusted_for_effect
    if adjusted is None or one.variance_removed is None:
        return []
    units = adjusted.control_unit_count + adjusted.variant_unit_count
    return [
        f"  with its value of before as covariate {units:,} units "
        f"({adjusted.days:,} days): it explains {100 * one.variance_removed:.0f} % of "
        "the variance"
    ]


def _planned_days(definition: ExperimentDefinition) -> int | None:
    if definition.starts_at is None or definition.stops_at is None:
        return None
    return max((definition.stops_at - definition.starts_at).days, 1)

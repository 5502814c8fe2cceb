"""An experiment's data and a question about it, answered: every metric, every variant.

Belongs here: which arms are compared, by which method, and what is withheld. Not here:
files (`unit_experiment`, `summary_experiment`), the conclusion (`conclusion`), words
for the terminal (`report`).
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from nearline.experiments.estimators import (
    ArmEstimates,
    Layout,
    Stratum,
    estimate_arms,
)
from nearline.experiments.expressions import MetricKind
from nearline.experiments.findings import AnalysisError, Finding, find_for
from nearline.experiments.guardrails import GuardrailStatus, Limit, judge_guardrail
from nearline.experiments.inference import (
    LEAST_EXPECTED_COUNT,
    Comparison,
    FixedHorizon,
    Horizon,
    Problem,
    compare_proportions,
)
from nearline.experiments.multiplicity import CORRECTIONS
from nearline.experiments.posterior import update_belief
from nearline.experiments.results import choose_control
from nearline.experiments.sample_ratio import (
    SRM_ALARM_LEVEL,
    SRM_WARNING_LEVEL,
    srm_p_value,
)
from nearline.experiments.statistics import JointStatistics, SufficientStatistics

if TYPE_CHECKING:
    import numpy as np


class Status(StrEnum):
    """Of a check: an alarm withholds the verdict, a warning does not."""

    OK = "ok"
    WARNING = "warning"
    ALARM = "alarm"
    UNKNOWN = "unknown"


def status_of(p_value: float | None) -> Status:
    """By the two levels of the sample-ratio check."""
    if p_value is None:
        return Status.UNKNOWN
    if p_value < SRM_ALARM_LEVEL:
        return Status.ALARM
    return Status.WARNING if p_value < SRM_WARNING_LEVEL else Status.OK


@dataclass(frozen=True, slots=True)
class Check:
    """Whether the data can be trusted in one respect."""

    name: str
    status: Status
    message: str
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class MetricArms:
    """One metric: of each variant its sums by stratum, or for a quantile its values."""

    name: str
    kind: MetricKind
    layout: Layout = field(default_factory=Layout)
    strata: Mapping[str, tuple[JointStatistics, ...]] = field(default_factory=dict)
    values: "Mapping[str, np.ndarray]" = field(default_factory=dict)
    share: float | None = None
    finding: Finding | None = None
    """What forbids the metric altogether."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """What forbids a single variant of it."""


@dataclass(frozen=True, slots=True)
class ExperimentData:
    """What was read; the first metric is the primary one."""

    unit_counts: Mapping[str, int | None]
    """None where the count itself cannot be read."""
    metrics: tuple[MetricArms, ...]
    findings: tuple[Finding, ...] = ()
    """What forbids every metric."""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """How the data are to be read; none of it may be chosen after seeing them."""

    control: str | None = None
    weights: Mapping[str, float] | None = None
    horizon: Horizon = field(default_factory=FixedHorizon)
    correction: str = "holm"
    guardrails: Mapping[str, float | Limit] = field(default_factory=dict)
    """Metric -> worsening that is tolerated, relative where it is no `Limit`."""
    lower_is_better: frozenset[str] = frozenset()
    least_effect: float | None = None
    """Smallest relative change of the primary metric that matters."""
    prior_standard_deviation: float | None = None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One variant against control on one metric; docs/experiments.md has the fields."""

    metric: str
    variant: str
    kind: str
    method: str
    unit_count: int | None
    control_unit_count: int | None
    mean: float | None = None
    control_mean: float | None = None
    estimate: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    relative: float | None = None
    relative_ci_low: float | None = None
    relative_ci_high: float | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    standard_error: float | None = None
    variance_removed: float | None = None
    chance_to_win: float | None = None
    expected_loss: float | None = None
    guardrail: GuardrailStatus | None = None
    problem: Finding | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """All comparisons of an experiment, in the order of metrics and variants."""

    control: str
    unit_counts: Mapping[str, int | None]
    srm_p_value: float | None
    primary_metric: str | None
    results: tuple[ArmResult, ...]
    checks: tuple[Check, ...]
    findings: tuple[Finding, ...]

    @property
    def srm_status(self) -> Status:
        return status_of(self.srm_p_value)


def answer(data: ExperimentData, question: Question) -> Answer:
    """Compare each variant with control on each metric; sample ratio first."""
    weights = question.weights
    variants = sorted({*data.unit_counts, *(weights or ())})
    control = question.control or choose_control(variants)
    _require_names(data, question, variants, control)
    counts = {key: data.unit_counts.get(key, 0) for key in variants}
    known = {key: count for key, count in counts.items() if count is not None}
    srm = srm_p_value(known, weights) if len(known) == len(counts) else None
    findings = list(data.findings)
    others = [key for key in variants if key != control]
    if not others:
        findings.append(_no_variant(counts))
    results: list[ArmResult] = []
    for metric in data.metrics:
        found = [
            _result(metric, key, control, counts, question, data.findings)
            for key in others
        ]
        results.extend(_adjusted(found, question.correction))
    return Answer(
        control,
        counts,
        srm,
        data.metrics[0].name if data.metrics else None,
        tuple(results),
        (_ratio_check(srm, counts), *data.checks),
        tuple(findings),
    )


def _require_names(
    data: ExperimentData, question: Question, variants: list[str], control: str
) -> None:
    shown = ", ".join(variants) or "none"
    if control not in variants and data.unit_counts:
        raise AnalysisError(
            "unknown_control",
            f"there is no variant {control!r} to be the control",
            f"name one with --control; there are {shown}",
        )
    require_weights(data.unit_counts, question.weights)
    names = [metric.name for metric in data.metrics]
    for name in sorted({*question.guardrails, *question.lower_is_better}):
        if name not in names:
            raise AnalysisError(
                "unknown_metric",
                f"there is no metric {name!r}",
                f"there are {', '.join(names)}",
            )


def require_weights(
    variants: Collection[str], weights: Mapping[str, float] | None
) -> None:
    """AnalysisError where a plan leaves out a variant that has units."""
    unplanned = sorted(set(variants) - set(weights or variants))
    if unplanned:
        raise AnalysisError(
            "missing_weight",
            f"--weights lacks variant {unplanned[0]!r}",
            f"give the planned share of each; there are {', '.join(sorted(variants))}",
        )


def _no_variant(counts: Mapping[str, int | None]) -> Finding:
    if not any(counts.values()):
        return Finding(
            "no_units", "there are no units", "check what selects the rows of the file"
        )
    return Finding(
        Problem.EMPTY_ARM.value,
        "there is one arm alone, and nothing to compare it with",
        "include the units of both arms; --weights names an arm that may be empty",
    )


def _ratio_check(p_value: float | None, counts: Mapping[str, int | None]) -> Check:
    status = status_of(p_value)
    sizes = ", ".join(f"{key} {count or 0:,}" for key, count in counts.items())
    says = {
        Status.OK: f"the arms' sizes are as planned, within chance ({sizes})",
        Status.WARNING: (
            f"the arms' sizes are nearly too far from the plan for chance ({sizes}): "
            "look for what loses or doubles units"
        ),
        Status.ALARM: f"the arms' sizes are not as planned ({sizes})",
        Status.UNKNOWN: "there is no split to check",
    }
    return Check("sample_ratio", status, says[status], p_value)


def _result(
    metric: MetricArms,
    variant: str,
    control: str,
    counts: Mapping[str, int | None],
    question: Question,
    findings: tuple[Finding, ...],
) -> ArmResult:
    bare = ArmResult(
        metric.name,
        variant,
        metric.kind.value,
        "none",
        _size(metric, variant, counts),
        _size(metric, control, counts),
    )
    finding = (
        next(iter(findings), None)
        or metric.finding
        or metric.findings.get(variant)
        or metric.findings.get(control)
        or _size_finding(bare, control)
    )
    if finding is not None:
        return replace(bare, problem=finding)
    arms, comparison = _compare(metric, variant, control, question.horizon)
    if comparison.estimate is None:
        assert comparison.problem is not None
        return replace(
            bare,
            method=comparison.method,
            problem=find_for(comparison.problem, metric.name),
        )
    assert arms.variant is not None
    assert arms.control is not None
    assert comparison.standard_error is not None
    belief = update_belief(
        comparison.estimate,
        comparison.standard_error,
        question.prior_standard_deviation,
    )
    lower = metric.name in question.lower_is_better
    margin = question.guardrails.get(metric.name)
    return replace(
        bare,
        method=comparison.method,
        mean=arms.variant.point,
        control_mean=arms.control.point,
        estimate=comparison.estimate,
        ci_low=comparison.ci_low,
        ci_high=comparison.ci_high,
        relative=comparison.relative_lift,
        relative_ci_low=comparison.relative_ci_low,
        relative_ci_high=comparison.relative_ci_high,
        p_value=comparison.p_value,
        standard_error=comparison.standard_error,
        variance_removed=arms.variance_removed,
        chance_to_win=belief.chance_to_win(lower_is_better=lower),
        expected_loss=belief.expected_loss(lower_is_better=lower),
        guardrail=(
            None
            if margin is None
            else judge_guardrail(comparison, margin, lower_is_better=lower)
        ),
        problem=(
            None
            if comparison.problem is None
            else find_for(comparison.problem, metric.name)
        ),
    )


def _size_finding(result: ArmResult, control: str) -> Finding | None:
    sizes = {result.variant: result.unit_count, control: result.control_unit_count}
    for key, count in sizes.items():
        if not count:
            return Finding(
                Problem.EMPTY_ARM.value,
                f"arm {key!r} of {result.metric} has no units",
                "check the assignment, and what removes units",
            )
        if count < 2:
            return find_for(Problem.TOO_FEW_UNITS, result.metric)
    return None


def _compare(
    metric: MetricArms, variant: str, control: str, horizon: Horizon
) -> tuple[ArmEstimates, Comparison]:
    sizes = (_size(metric, key, {}) or 0 for key in (variant, control))
    if min(sizes) < horizon.least_unit_count:
        arms = ArmEstimates("none", Problem.TOO_EARLY_TO_LOOK)
        return arms, arms.compare(horizon)
    if metric.kind is MetricKind.QUANTILE:
        arms = _estimate_quantiles(metric, variant, control)
        return arms, arms.compare(horizon)
    strata = [
        Stratum(one, other)
        for one, other in zip(
            metric.strata[variant], metric.strata[control], strict=True
        )
        if one.unit_count or other.unit_count
    ]
    arms = estimate_arms(strata, metric.layout)
    is_plain = len(strata) == 1 and metric.layout == Layout()
    if (
        metric.kind is MetricKind.PROPORTION
        and is_plain
        and isinstance(horizon, FixedHorizon)
        and arms.problem is None
    ):
        pooled = compare_proportions(
            _successes(strata[0].variant),
            _successes(strata[0].control),
            horizon.confidence_level,
        )
        return arms, pooled
    comparison = arms.compare(horizon)
    if is_plain and _has_few_outcomes(strata[0]) and comparison.estimate is not None:
        comparison = replace(comparison, problem=Problem.TOO_FEW_OUTCOMES)
    return arms, comparison


def _estimate_quantiles(metric: MetricArms, variant: str, control: str) -> ArmEstimates:
    from nearline.experiments.quantiles import estimate_quantile

    assert metric.share is not None
    method = "quantile_order_statistics"
    one = estimate_quantile(metric.values[variant], metric.share)
    other = estimate_quantile(metric.values[control], metric.share)
    if min(one.squared_error, other.squared_error) <= 0:
        # So many equal values at the quantile that its error cannot be told.
        return ArmEstimates(method, Problem.ZERO_VARIANCE)
    return ArmEstimates(method, None, one, other)


def _size(
    metric: MetricArms, variant: str, counts: Mapping[str, int | None]
) -> int | None:
    """Units of this metric's own sums, where it has them."""
    if variant in metric.values:
        return len(metric.values[variant])
    if variant in metric.strata:
        return sum(part.unit_count for part in metric.strata[variant])
    return counts[variant]


def _has_few_outcomes(stratum: Stratum) -> bool:
    """Whether values are 0 and 1, and one of them too rare: also where called a mean."""
    both = stratum.variant + stratum.control
    mean, count = both.means[0], both.unit_count
    if not 0 < mean < 1:
        return False
    spread = count * mean * (1 - mean)
    is_zero_or_one = math.isclose(both.comoments[0][0], spread, rel_tol=1e-9)
    fewest = min(stratum.variant.unit_count, stratum.control.unit_count)
    return is_zero_or_one and fewest * min(mean, 1 - mean) < LEAST_EXPECTED_COUNT


def _successes(arm: JointStatistics) -> SufficientStatistics:
    count = round(arm.means[0] * arm.unit_count)
    return SufficientStatistics(arm.unit_count, count, count)


def _adjusted(results: list[ArmResult], correction: str) -> list[ArmResult]:
    """The variants of one metric are one family: each is one more chance to be lucky."""
    tested = [index for index, one in enumerate(results) if one.p_value is not None]
    p_values = [results[index].p_value or 0.0 for index in tested]
    for index, p_value in zip(tested, CORRECTIONS[correction](p_values), strict=True):
        results[index] = replace(results[index], adjusted_p_value=p_value)
    return results

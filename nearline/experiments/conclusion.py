"""The conclusion of an analysis: ship, stop, keep running, or why it cannot be said.

Belongs here: the rule and its sentence. Not here: any test, or the layout of a report.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from nearline.experiments.analysis import Answer, ArmResult, Question, Status
from nearline.experiments.guardrails import GuardrailStatus, Limit
from nearline.experiments.power import DEFAULT_POWER
from nearline.experiments.verdict import round_pair, signed

LEAST_UNITS_TO_CONCLUDE = 30
"""Of each arm: below, the mean of a skewed value is far from normal."""


MOST_GROWTH = 100.0
"""Of precision; to ask for ten thousand times the units is to ask for none."""

_UNKNOWN = "an unknown amount"


class Decision(StrEnum):
    """What to do; the words at the head of every verdict."""

    SHIP = "ship"
    STOP = "stop"
    KEEP_RUNNING = "keep running"
    CANNOT_CONCLUDE = "cannot conclude"

    @property
    def code(self) -> str:
        """For machines; it keeps its meaning."""
        return self.value.replace(" ", "_")


@dataclass(frozen=True, slots=True)
class Conclusion:
    """A decision and its sentence."""

    decision: Decision
    sentence: str


def conclude(answer: Answer, question: Question) -> Conclusion:
    """One conclusion for the experiment, from its primary metric and its guardrails.

    Health first: an alarm or a problem withholds it. Of several variants that may
    ship, the one of the largest effect; one that may still win keeps it running.
    """
    if answer.findings:
        return cannot_conclude(answer.findings[0].sentence)
    primary = [one for one in answer.results if one.metric == answer.primary_metric]
    blocked = [one.problem for one in primary if one.estimate is None and one.problem]
    if blocked and len(blocked) == len(primary):
        return cannot_conclude(blocked[0].sentence)
    for check in answer.checks:
        if check.status is Status.ALARM:
            return cannot_conclude(
                f"{check.message}; find the cause before reading any metric"
            )
    conclusions = [_conclude_variant(one, answer, question) for one in primary]
    if not conclusions:
        return cannot_conclude("there is no metric; name one")
    for decision in Decision.SHIP, Decision.KEEP_RUNNING, Decision.CANNOT_CONCLUDE:
        chosen = [
            (one, conclusion)
            for one, conclusion in zip(primary, conclusions, strict=True)
            if conclusion.decision is decision
        ]
        if chosen:
            return max(chosen, key=lambda pair: _benefit(pair[0], question))[1]
    if len(conclusions) == 1:
        return conclusions[0]
    return Conclusion(
        Decision.STOP, "; ".join(conclusion.sentence for conclusion in conclusions)
    )


def _conclude_variant(
    result: ArmResult, answer: Answer, question: Question
) -> Conclusion:
    if result.problem is not None:
        return cannot_conclude(result.problem.sentence)
    low, high, p_value = result.ci_low, result.ci_high, result.adjusted_p_value
    assert low is not None
    assert high is not None
    assert p_value is not None
    fewest = min(result.unit_count or 0, result.control_unit_count or 0)
    if fewest < LEAST_UNITS_TO_CONCLUDE:
        return cannot_conclude(
            f"the smaller arm has {fewest} units, too few for {result.metric} to be "
            f"near normal; collect at least {LEAST_UNITS_TO_CONCLUDE} in each"
        )
    change = describe_change(result, question.horizon.confidence_level)
    guardrails = [
        one
        for one in answer.results
        if one.variant == result.variant and one.metric in question.guardrails
    ]
    broken = next(
        (one for one in guardrails if one.guardrail is GuardrailStatus.BROKEN), None
    )
    if broken is not None:
        margin = question.guardrails[broken.metric]
        return Conclusion(
            Decision.STOP,
            f"stop {result.variant}: guardrail {broken.metric} is worse by more than "
            f"{_margin_words(margin)} "
            f"({_guardrail_change(broken, margin)}); "
            f"{result.metric}: {change}",
        )
    is_significant = p_value < 1 - question.horizon.confidence_level
    if is_significant and not low <= 0 <= high:
        if _is_worse(result, question):
            return Conclusion(
                Decision.STOP,
                f"stop {result.variant}: it makes {result.metric} worse, {change}",
            )
        return _conclude_better(result, guardrails, change, question)
    if is_significant or not low <= 0 <= high:
        why = "interval and test disagree at the edge"
        if result.p_value is not None and result.p_value < p_value:
            why = "it is not beyond luck when all variants are counted"
        return cannot_conclude(
            f"{result.variant} changes {result.metric} by {change}, but {why}; "
            "collect more units, in a new experiment if this one was to end here"
        )
    return _conclude_unsettled(result, change, question)


def _conclude_better(
    result: ArmResult, guardrails: list[ArmResult], change: str, question: Question
) -> Conclusion:
    for one in guardrails:
        if one.problem is not None:
            return cannot_conclude(f"guardrail {one.metric}: {one.problem.sentence}")
    unclear = [one for one in guardrails if one.guardrail is GuardrailStatus.UNCLEAR]
    if unclear:
        one = unclear[0]
        margin = question.guardrails[one.metric]
        needed = _units_for(one, margin)
        return Conclusion(
            Decision.KEEP_RUNNING,
            f"keep running until {_end(needed)} and guardrail {one.metric} is known to "
            f"hold (so far {_guardrail_change(one, margin)}); "
            f"{result.variant} makes {result.metric} better, {change}",
        )
    kept = f"; guardrails hold: {', '.join(one.metric for one in guardrails)}"
    return Conclusion(
        Decision.SHIP,
        f"ship {result.variant}: it makes {result.metric} better, {change}"
        + (kept if guardrails else ""),
    )


def _conclude_unsettled(
    result: ArmResult, change: str, question: Question
) -> Conclusion:
    effect = question.least_effect
    inside = f"{result.variant} changes {result.metric} by {change}"
    if effect is not None:
        low, high = result.relative_ci_low, result.relative_ci_high
        if low is not None and high is not None and -effect < low and high < effect:
            return Conclusion(
                Decision.STOP,
                f"stop {result.variant}: {inside}, so any change is smaller than the "
                f"{effect * 100:.3g} % that would matter",
            )
        needed = _units_for(result, effect)
        if needed is not None:
            return Conclusion(
                Decision.KEEP_RUNNING,
                f"keep running until {_end(needed)}, to see a change of "
                f"{effect * 100:.3g} %; so far {inside}, which includes no change",
            )
    if not question.horizon.is_over:
        return Conclusion(
            Decision.KEEP_RUNNING,
            "keep running until the interval excludes no change or the planned end is "
            f"reached; so far {inside}",
        )
    return cannot_conclude(
        f"{inside}, which includes no change; decide by the interval's ends, or run "
        "again with the units that --effect asks for"
    )


def _end(needed: int | None) -> str:
    if needed is None:
        return "the planned end"
    return f"the smaller arm has about {needed:,} units"


def _units_for(result: ArmResult, effect: float | Limit) -> int | None:
    """Units of the smaller arm with which an `effect` is seen in 4 of 5 cases; relative
    where it is no `Limit`.

    From the interval's own half-width, so that a horizon that widens it is paid for.
    None where there are enough already, or where no number can be told.
    """
    from scipy.special import ndtri

    error, control = result.standard_error, result.control_mean
    sizes = (result.unit_count, result.control_unit_count)
    if not error or not control or result.ci_low is None or result.ci_high is None:
        return None
    half_width = (result.ci_high - result.ci_low) / 2
    needed_width = half_width + float(ndtri(DEFAULT_POWER)) * error
    wanted = effect.value if isinstance(effect, Limit) else effect * abs(control)
    # A margin of 0 asks for more units than there can be.
    growth = needed_width / wanted if wanted else math.inf
    if not 1 < growth < MOST_GROWTH:
        return None
    return _round_up(math.ceil(growth * growth * min(size or 0 for size in sizes)))


def _round_up(count: int) -> int:
    """To two digits: the estimate behind it knows no more."""
    step: int = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step


def describe_change(result: ArmResult, level: float) -> str:
    """Relative change and interval in percent; absolute where it has no relative one."""
    span = _span(result)
    return _UNKNOWN if span is None else f"{span} ({level * 100:g} % interval)"


def _span(result: ArmResult) -> str | None:
    if (
        result.relative is not None
        and result.relative_ci_low is not None
        and result.relative_ci_high is not None
    ):
        low, high = round_pair(
            100 * result.relative_ci_low, 100 * result.relative_ci_high
        )
        return f"{signed(low)} % to {signed(high)} %"
    return _absolute_span(result)


def _absolute_span(result: ArmResult) -> str | None:
    if result.ci_low is None or result.ci_high is None:
        return None
    low, high = round_pair(result.ci_low, result.ci_high)
    return f"{signed(low)} to {signed(high)}"


def _margin_words(margin: float | Limit) -> str:
    return str(margin) if isinstance(margin, Limit) else f"{margin:.3g} of control"


def _guardrail_change(result: ArmResult, margin: float | Limit) -> str:
    """As the margin is: relative, or in its unit. Without its level, for within brackets;
    the sentence names the level elsewhere."""
    if not isinstance(margin, Limit):
        return _span(result) or _UNKNOWN
    said = _absolute_span(result)
    return _UNKNOWN if said is None else f"{said} {margin.unit}"


def _is_worse(result: ArmResult, question: Question) -> bool:
    return _benefit(result, question) < 0


def _benefit(result: ArmResult, question: Question) -> float:
    sign = -1 if result.metric in question.lower_is_better else 1
    return sign * (result.estimate or 0.0)


def cannot_conclude(why: str) -> Conclusion:
    """The one that says nothing but why."""
    return Conclusion(Decision.CANNOT_CONCLUDE, f"cannot conclude because {why}")

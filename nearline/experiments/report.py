"""The answer for the terminal: the verdict, the primary metric, the rest, the health."""

from nearline.experiments.analysis import Answer, ArmResult, Question, Status
from nearline.experiments.conclusion import (
    Conclusion,
    cannot_conclude,
    describe_change,
)
from nearline.experiments.verdict import round_pair, signed

_METHODS = {
    "welch_t": "Welch's t",
    "two_proportion_z": "two-proportion z",
    "ratio_delta_t": "delta method",
    "quantile_order_statistics": "order statistics",
}
_HORIZONS = {
    "fixed": "one look, at the planned end",
    "always_valid": "valid at every look",
    "group_sequential": "planned looks",
}
_MARKS = {Status.ALARM: "ALARM", Status.WARNING: "warning"}


def describe(answer: Answer, question: Question, conclusion: Conclusion) -> list[str]:
    """Lines of the report; no p-value without the interval before it."""
    sentence = conclusion.sentence
    lines = [sentence[0].upper() + sentence[1:] + ".", ""]
    for result in answer.results:
        lines += _result_lines(result, answer, question)
    sizes = ", ".join(
        f"{key} {'unknown' if count is None else f'{count:,}'}"
        for key, count in answer.unit_counts.items()
    )
    lines.append(f"units: {sizes}; control is {answer.control}")
    lines.append(
        f"intervals: {question.horizon.confidence_level * 100:g} %, "
        f"{_HORIZONS[question.horizon.name]}"
    )
    for check in answer.checks:
        mark = _MARKS.get(check.status, "check")
        lines.append(f"{mark}: {check.message}")
    return lines


def _result_lines(result: ArmResult, answer: Answer, question: Question) -> list[str]:
    role = " (primary)" if result.metric == answer.primary_metric else ""
    if result.metric in question.guardrails:
        role += " (guardrail)"
    head = f"{result.metric}{role}, {result.variant} against {answer.control}"
    if result.estimate is None:
        why = "" if result.problem is None else result.problem.sentence
        return [f"{head}: {cannot_conclude(why).sentence}", ""]
    level = question.horizon.confidence_level
    lines = [f"{head}: {describe_change(result, level)}"]
    assert result.ci_low is not None
    assert result.ci_high is not None
    low, high = round_pair(result.ci_low, result.ci_high)
    means = f"{result.variant} {result.mean:,.6g}, {answer.control} "
    means += f"{result.control_mean:,.6g}"
    lines.append(
        f"  {means}; difference {_plus(result.estimate)} "
        f"({signed(low)} to {signed(high)}), {_p_words(result)}"
    )
    lines += [f"  {describe_method(result)}", f"  {_belief_words(result, question)}"]
    if result.problem is not None:
        lines.append(f"  but {result.problem.sentence}")
    return [*lines, ""]


def _plus(number: float) -> str:
    return f"{number:+,.4g}"


def _p_words(result: ArmResult) -> str:
    def words(value: float | None) -> str:
        if value is None:
            return "unknown"
        return "below 0.0001" if value < 0.0001 else f"{value:.4f}"

    says = f"p {words(result.p_value)}"
    if result.adjusted_p_value != result.p_value:
        says += f", {words(result.adjusted_p_value)} over all variants"
    return says


def describe_method(result: ArmResult) -> str:
    """The method of a comparison in words."""
    base, extras = result.method, list[str]()
    for suffix, said in (
        ("_poststratified", "post-stratified"),
        ("_cuped", "adjusted by covariate"),
    ):
        if base.endswith(suffix):
            base = base.removesuffix(suffix)
            extras.insert(0, said)
    parts = [_METHODS.get(base, base), *extras]
    if result.variance_removed is not None:
        parts.append(f"{max(result.variance_removed, 0):.0%} of variance removed")
    return "; ".join(parts)


def _belief_words(result: ArmResult, question: Question) -> str:
    prior = question.prior_standard_deviation
    stated = "flat prior" if prior is None else f"prior 0 ± {prior:g}"
    words = (
        f"chance to be better {result.chance_to_win:.1%}, expected loss "
        f"{result.expected_loss:.3g} ({stated})"
    )
    return (
        words
        if result.guardrail is None
        else f"{words}; guardrail {result.guardrail.value}"
    )

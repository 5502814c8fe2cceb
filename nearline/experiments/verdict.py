"""One sentence per result, for a reader who has no use for a bare p-value.

Belongs here: words and the rounding of numbers inside them. Not here: any statistic.
"""

import math

from nearline.experiments.inference import Comparison, Problem

METRIC_UNITS = {
    "revenue_per_visitor": "cents",
    "engaged_seconds_per_visitor": "seconds",
}
"""Units of mean metrics; a metric not listed is told as a plain number."""

_REASONS = {
    Problem.NOT_A_NUMBER: (
        "a sum of {metric} is not a finite number",
        "find the null or NaN in fct_experiment_metrics",
    ),
    Problem.NEGATIVE_COUNT: (
        "a unit count of {metric} is negative",
        "mend fct_experiment_metrics",
    ),
    Problem.NEGATIVE_SUM_OF_SQUARES: (
        "a sum of squares of {metric} is negative",
        "mend fct_experiment_metrics",
    ),
    Problem.CONTRADICTORY_SUMS: (
        "no values can have these sums of {metric}",
        "check that count, sum and sum of squares cover the same units",
    ),
    Problem.NOT_A_PROPORTION: (
        "{metric} is declared a proportion but has values other than 0 and 1",
        "declare it a mean",
    ),
    Problem.UNKNOWN_METRIC_KIND: (
        "the kind of {metric} is unknown",
        "declare it a proportion or a mean",
    ),
    Problem.MIXED_METRIC_KINDS: (
        "{metric} is declared both a proportion and a mean",
        "give it one kind",
    ),
    Problem.EMPTY_ARM: (
        "{empty} has no units",
        "check the assignment and the exposure events",
    ),
    Problem.TOO_FEW_UNITS: (
        "each arm needs at least 2 units",
        "collect more",
    ),
    Problem.ZERO_VARIANCE: (
        "{metric} is the same for every unit of each arm",
        "collect until it varies",
    ),
    Problem.TOO_FEW_OUTCOMES: (
        "{metric} has too few units with, or too few without, for the approximation",
        "collect until at least 5 of each are expected in both arms",
    ),
}


def verdict(
    *,
    metric_name: str,
    metric_kind: str,
    variant_key: str,
    control_variant_key: str,
    unit_count: int,
    control_unit_count: int,
    comparison: Comparison,
    confidence_level: float,
    has_srm_alarm: bool,
    unit: str | None = None,
) -> str:
    """The conclusion in words, or "cannot conclude: <why>, <what to do>".

    `unit` is the word behind numbers; by default the one of `METRIC_UNITS`.
    """
    metric = metric_name.replace("_", " ")
    problem = comparison.problem
    if problem is not None and problem is not Problem.TOO_FEW_OUTCOMES:
        empty = control_variant_key if control_unit_count == 0 else variant_key
        if control_unit_count == 0 and unit_count == 0:
            empty = "each arm"
        return _cannot(*_REASONS[problem], metric=metric, empty=empty)
    if has_srm_alarm:
        return _cannot(
            "the arms' sizes are not as planned ({variant} {count:,}, "
            "{control} {control_count:,})",
            "find what loses or doubles units before reading any metric",
            variant=variant_key,
            count=unit_count,
            control=control_variant_key,
            control_count=control_unit_count,
        )
    if problem is not None:
        return _cannot(*_REASONS[problem], metric=metric)
    low, high, p_value = comparison.ci_low, comparison.ci_high, comparison.p_value
    if low is None or high is None or p_value is None:
        return _cannot(*_REASONS[Problem.NOT_A_NUMBER], metric=metric)
    is_proportion = metric_kind == "proportion"
    if unit is None:
        unit = METRIC_UNITS.get(metric_name, "")
    unit = "points" if is_proportion else unit
    scale = 100 if is_proportion else 1
    low, high = low * scale, high * scale
    level = f"({confidence_level * 100:g} % interval)"
    if low <= 0 <= high:
        smallest, largest = round_pair(low, high)
        span = _words(f"{signed(smallest)} to {signed(largest)}", unit)
        return (
            f"cannot conclude: {variant_key} changes {metric} by {span} {level}, "
            "which includes no change, collect more units"
        )
    if p_value >= 1 - confidence_level:
        return _cannot(
            "interval and test of {metric} disagree at the edge",
            "collect more units",
            metric=metric,
        )
    direction = "raises" if low > 0 else "lowers"
    smallest, largest = round_pair(*sorted((abs(low), abs(high))))
    span = _words(f"{smallest} to {largest}", unit)
    return f"{variant_key} {direction} {metric} by {span} {level}"


def _cannot(why: str, what_to_do: str, **words: object) -> str:
    return f"cannot conclude: {why.format(**words)}, {what_to_do}"


def _words(span: str, unit: str) -> str:
    return f"{span} {unit}".rstrip()


def signed(number: str) -> str:
    """A rounded number with its sign, a plus too."""
    return number if number.startswith("-") or not number.strip("0.") else f"+{number}"


def round_pair(low: float, high: float) -> tuple[str, str]:
    """Two significant digits each, or as many as it takes to tell them apart."""
    for digits in range(2, 8):
        pair = _rounded(low, digits), _rounded(high, digits)
        if pair[0] != pair[1]:
            break
    return pair


def _rounded(number: float, digits: int) -> str:
    if number == 0:
        return "0"
    decimals = max(digits - 1 - math.floor(math.log10(abs(number))), 0)
    return f"{number:,.{decimals}f}"

"""What is wrong with an analysis, named: a code, why, and what to do about it.

Messages name columns, variants and counts, never a unit: a unit's id is a person's.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nearline.errors import InputError
from nearline.experiments.inference import Problem


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem; `code` is for machines and keeps its meaning."""

    code: str
    why: str
    what_to_do: str

    @property
    def sentence(self) -> str:
        return f"{self.why}; {self.what_to_do}"


class AnalysisError(InputError):
    """The question itself cannot be answered: a file, a column, an expression."""

    def __init__(self, code: str, why: str, what_to_do: str) -> None:
        super().__init__(f"{why}; {what_to_do}")
        self.finding = Finding(code, why, what_to_do)

    @classmethod
    def of(cls, finding: Finding) -> "AnalysisError":
        """A finding that leaves nothing to answer."""
        return cls(finding.code, finding.why, finding.what_to_do)


_REASONS: Mapping[Problem, tuple[str, str]] = {
    Problem.NOT_A_NUMBER: (
        "{metric} holds a value that is not a finite number",
        "mend the values that are NaN or infinite",
    ),
    Problem.NEGATIVE_COUNT: (
        "a number of units of {metric} is negative or no whole number",
        "count the units of each variant again",
    ),
    Problem.NEGATIVE_SUM_OF_SQUARES: (
        "a sum of squares of {metric} is negative",
        "sum the squares of the units' values again",
    ),
    Problem.CONTRADICTORY_SUMS: (
        "no values can have these sums of {metric}",
        "check that count, sums, squares and products cover the same units",
    ),
    Problem.NOT_A_PROPORTION: (
        "{metric} is a proportion but has values other than 0 and 1",
        "use mean(...) for it",
    ),
    Problem.ZERO_DENOMINATOR: (
        "the denominator of {metric} is zero or not clearly above zero",
        "choose a denominator that is positive for most units, or collect more",
    ),
    Problem.EMPTY_STRATUM: (
        "a stratum has fewer than 2 units in an arm of {metric}",
        "merge rare strata",
    ),
    Problem.EMPTY_ARM: (
        "an arm of {metric} has no units",
        "check the assignment, and what removes units",
    ),
    Problem.TOO_FEW_UNITS: (
        "an arm of {metric} has fewer than 2 units",
        "collect more",
    ),
    Problem.TOO_EARLY_TO_LOOK: (
        "an arm of {metric} has fewer than 100 units, and intervals that may be looked "
        "at any time are not valid so early",
        "look again with more units",
    ),
    Problem.ZERO_VARIANCE: (
        "{metric} does not vary among the units of an arm, so its error is unknown",
        "check how it is computed, or collect until it varies",
    ),
    Problem.TOO_FEW_OUTCOMES: (
        "{metric} has too few units with, or too few without, for the approximation",
        "collect until at least 5 of each are expected in both arms",
    ),
}


def find_for(problem: Problem, metric_name: str) -> Finding:
    """A statistical problem of a metric, in words."""
    why, what_to_do = _REASONS[problem]
    return Finding(problem.value, why.format(metric=metric_name), what_to_do)

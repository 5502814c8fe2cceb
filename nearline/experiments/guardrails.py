"""Guardrails: is the variant at least not worse than control by more than a margin?"""

from dataclasses import dataclass
from enum import StrEnum

from nearline.experiments.inference import Comparison


class GuardrailStatus(StrEnum):
    """What the interval says about the margin."""

    HELD = "held"
    """Non-inferior: the whole interval is better than the margin."""
    BROKEN = "broken"
    """Inferior: the whole interval is worse than the margin."""
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Limit:
    """A margin in the metric's own unit, for one whose level says nothing of what matters."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


DECISION_LATENCY_LIMIT = Limit(20, "ms")
"""A tenth of the 200 ms within which there is to be an answer."""


def judge_guardrail(
    comparison: Comparison, margin: float | Limit, *, lower_is_better: bool = False
) -> GuardrailStatus:
    """Non-inferiority by the relative interval; `margin` 0.02 allows 2 % worse.

    By the interval of the difference where the margin is a `Limit`. One-sided at half of
    the interval's error: 2.5 % for a 95 % interval, as regulators ask (ICH E9, section
    3.3.2). UNCLEAR where there is no such interval.
    """
    if isinstance(margin, Limit):
        low, high = comparison.ci_low, comparison.ci_high
        margin = margin.value
    else:
        low, high = comparison.relative_ci_low, comparison.relative_ci_high
    if low is None or high is None:
        return GuardrailStatus.UNCLEAR
    worst, best = (-high, -low) if lower_is_better else (low, high)
    if worst > -margin:
        return GuardrailStatus.HELD
    return GuardrailStatus.BROKEN if best < -margin else GuardrailStatus.UNCLEAR

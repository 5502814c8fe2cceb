"""What was found of a policy, in words and for machines.

Belongs here: words, and the rounding of numbers inside them. Not here: any statistic.
"""

import math
from dataclasses import asdict
from typing import Any

from nearline.bandits.estimators import CONFIDENCE_LEVEL
from nearline.bandits.evaluation import (
    ALARM_P_VALUE,
    LEAST_EFFECTIVE_COUNT,
    LEAST_OUTCOME_COUNT,
    LEAST_UNIT_COUNT,
    MOST_NEVER_SHOWN,
    Diagnostics,
    Evaluation,
    Problem,
)
from nearline.estimates import Estimate
from nearline.experiments.verdict import round_pair, signed

_NAMES = {
    "dr": "doubly robust",
    "snips": "self-normalized",
    "ips": "inverse propensity",
}
_LEVEL = f"{CONFIDENCE_LEVEL:.0%} interval"


def verdict(evaluation: Evaluation, reward: str) -> str:
    """The conclusion in a sentence, or "cannot conclude: why; what to do"."""
    if evaluation.problem is not None:
        return f"cannot conclude: {_why(evaluation)}"
    headline = evaluation.headline
    change = None if headline is None else headline.change
    if change is None or change.ci_low is None or change.ci_high is None:
        return "cannot conclude: the values do not vary; collect more decisions"
    low, high = change.ci_low, change.ci_high
    if low <= 0 <= high:
        return (
            f"cannot conclude: {evaluation.policy} changes {reward} a decision by "
            f"{' to '.join(map(signed, round_pair(low, high)))} ({_LEVEL}), which "
            "includes no change; collect more decisions"
        )
    direction = "raises" if low > 0 else "lowers"
    span = " to ".join(round_pair(*sorted((abs(low), abs(high)))))
    return f"{evaluation.policy} {direction} {reward} a decision by {span} ({_LEVEL})"


def describe(evaluation: Evaluation, slot: str | None, reward: str) -> list[str]:
    """Lines for a terminal, the verdict first."""
    lines = [verdict(evaluation, reward)]
    facts = evaluation.diagnostics
    if facts is not None:
        place = "" if slot is None else f" of {slot}"
        lines += [
            "",
            f"{reward} a decision{place}, from {facts.decision_count:,} decisions "
            f"of {facts.unit_count:,} visitors",
            f"  {'as it was':<20}{_interval(evaluation.logged)}",
        ]
        for one in evaluation.values:
            lines.append(
                f"  {_NAMES[one.estimator]:<20}{_interval(one.value)}, "
                f"bootstrap {_span(one.resampled)}; change {_interval(one.change, True)}"
            )
            if one.bernstein is not None:
                lines.append(
                    f"  {'':<20}{_span(one.bernstein)} whatever the number of decisions"
                )
        lines += ["", *_diagnosis(facts)]
    if evaluation.left_out:
        counted = ", ".join(
            f"{count:,} {words}" for words, count in evaluation.left_out.items()
        )
        lines.append(f"left out: {counted}")
    return lines


def as_document(
    evaluation: Evaluation, slot: str | None, reward: str, source: str
) -> dict[str, Any]:
    """One JSON object; docs/off-policy.md names its fields."""
    return {
        "policy": evaluation.policy,
        "slot": slot,
        "reward": reward,
        "source": source,
        "confidence_level": CONFIDENCE_LEVEL,
        "verdict": verdict(evaluation, reward),
        "problem": evaluation.problem,
        "logged": asdict(evaluation.logged),
        "estimates": {
            one.estimator: {
                name: value
                for name, value in asdict(one).items()
                if name != "estimator"
            }
            for one in evaluation.values
        },
        "diagnostics": (
            None if evaluation.diagnostics is None else asdict(evaluation.diagnostics)
        ),
        "left_out": dict(evaluation.left_out),
    }


def _why(evaluation: Evaluation) -> str:
    facts = evaluation.diagnostics
    if evaluation.problem is Problem.NO_DECISIONS or facts is None:
        return "no decision can be used; decide with odds, and wait for outcomes"
    return {
        Problem.TOO_FEW_UNITS: (
            f"the decisions are of {facts.unit_count:,} visitors; "
            f"it takes {LEAST_UNIT_COUNT}"
        ),
        Problem.NEVER_SHOWN: (
            f"{facts.never_shown_share:.0%} of what {evaluation.policy} would choose was "
            f"never chosen, and above {MOST_NEVER_SHOWN:.0%} a model alone speaks for it; "
            "explore these choices first"
        ),
        Problem.TOO_FEW_EFFECTIVE: (
            f"{facts.decision_count:,} decisions are worth {facts.effective_count:,.0f} "
            f"for {evaluation.policy}, and it takes {LEAST_EFFECTIVE_COUNT}; explore "
            "more, or judge a policy nearer to what was done"
        ),
        Problem.ODDS_DO_NOT_FIT: (
            f"weights average {facts.mean_weight:.3f} where true odds give "
            f"{1 - facts.never_shown_share:.3f} (p < {ALARM_P_VALUE:g}); find out why "
            "choices were not drawn with the odds that were logged"
        ),
        Problem.TOO_FEW_OUTCOMES: (
            f"decisions with a reward are worth {facts.effective_outcome_count:,.1f} for "
            f"{evaluation.policy}, and it takes {LEAST_OUTCOME_COUNT}; collect more, or "
            "take a reward that is less rare"
        ),
    }[evaluation.problem or Problem.TOO_FEW_UNITS]


def _diagnosis(facts: Diagnostics) -> list[str]:
    share = facts.effective_count / facts.decision_count
    clipped = (
        f"; {facts.clipped_share:.1%} of weights clipped, which adds a bias that no "
        "interval shows"
        if facts.clipped_share
        else ""
    )
    lines = [
        f"effective decisions {facts.effective_count:,.0f} ({share:.0%}), of these with "
        f"a reward {facts.effective_outcome_count:,.0f}",
        f"weights: mean {facts.mean_weight:.3f}, largest {facts.largest_weight:.3g}; "
        f"least logged odds {facts.least_probability:.3g}{clipped}",
        f"never chosen before: {facts.never_shown_share:.1%} of what it would choose",
    ]
    if facts.odds_error > 0:
        lines.append(f"its own odds are known to {facts.odds_error:.1g}")
    return lines


def _interval(estimate: Estimate, is_change: bool = False) -> str:
    if estimate.value is None:
        return "not defined"
    number = f"{estimate.value:,.{_decimals(estimate)}f}"
    return f"{signed(number) if is_change else number} ({_span(estimate, is_change)})"


def _span(estimate: Estimate, is_change: bool = False) -> str:
    if estimate.ci_low is None or estimate.ci_high is None:
        return "no interval"
    decimals = _decimals(estimate)
    ends = [f"{end:,.{decimals}f}" for end in (estimate.ci_low, estimate.ci_high)]
    return " to ".join(map(signed, ends) if is_change else ends)


def _decimals(estimate: Estimate) -> int:
    """As many as show two digits of the interval's half."""
    if estimate.ci_low is None or estimate.ci_high is None:
        return 3
    half = (estimate.ci_high - estimate.ci_low) / 2
    return max(1 - math.floor(math.log10(half)), 0) if half > 0 else 3

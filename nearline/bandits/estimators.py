"""What a policy would have given, from decisions of another: estimators and intervals.

Belongs here: arithmetic on weights, rewards and predictions, a value a row. Not here: where
these come from, and what may be concluded (`evaluation`).

Sources: Horvitz & Thompson (1952) for inverse propensity (ips); Swaminathan & Joachims
(2015), NIPS, for the self-normalized form (snips); Dudik, Langford & Li (2011), ICML, for
doubly robust (dr); Maurer & Pontil (2009), COLT, for the empirical Bernstein bound. Rows
of one unit are not independent: errors are those of units' totals (Liang & Zeger, 1986,
Biometrika 73), and resamples are of whole units.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.estimates import Estimate

if TYPE_CHECKING:
    from nearline.bandits.logged import Codes, Numbers

CONFIDENCE_LEVEL = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """One row per logged decision.

    `weight`: odds of the choice under the policy over those it was logged with, clipped
    or not. `predicted`: the model's reward of the choice; `predicted_of_policy`: of what the
    policy would choose, on average.
    """

    weight: "Numbers"
    reward: "Numbers"
    predicted: "Numbers"
    predicted_of_policy: "Numbers"
    unit: "Codes"


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """Mean reward a decision that the policy would have given, by one estimator.

    `value` has a normal (Student) interval over units, `resampled` that of the bootstrap.
    `change` is the value less what was really given, with the interval of that
    difference. `bernstein` holds for any number of decisions, where that can be said.
    """

    estimator: str
    value: Estimate
    resampled: Estimate
    change: Estimate
    bernstein: Estimate | None = None


def estimate_values(weighed: Weighed, seed: int) -> tuple[PolicyValue, ...]:
    """By doubly robust, self-normalized and inverse propensity, in this order."""
    from nearline.recommend.intervals import ratio_estimates

    weight, reward = weighed.weight, weighed.reward
    weighted = weight * reward
    corrected = weighed.predicted_of_policy + weight * (reward - weighed.predicted)
    ones = np.ones_like(weight)
    logged = float(reward.mean())
    # Each estimator is a sum over a sum, and with it, its bootstrap.
    parts = {
        "dr": (corrected, ones),
        "snips": (weighted, weight),
        "ips": (weighted, ones),
    }
    resampled = ratio_estimates(
        np.column_stack([_totals(above, weighed.unit) for above, _ in parts.values()]),
        np.column_stack([_totals(below, weighed.unit) for _, below in parts.values()]),
        seed,
    )
    found = []
    for (name, (above, below)), drawn in zip(parts.items(), resampled, strict=True):
        total = float(below.sum())
        value = float(above.sum()) / total if total > 0 else None
        if value is None:
            nothing = Estimate(None, None, None)
            found.append(PolicyValue(name, nothing, nothing, nothing))
            continue
        # The influence of a row: linear for a mean, by the delta method for a ratio.
        influence = (above - value * below) / (total / len(below))
        found.append(
            PolicyValue(
                name,
                _with_interval(value, influence, weighed.unit),
                drawn,
                _with_interval(
                    value - logged, influence - (reward - logged), weighed.unit
                ),
            )
        )
    return tuple(found)


def mean_of(values: "Numbers", unit: "Codes") -> Estimate:
    """A mean with the interval over units."""
    mean = float(values.mean())
    return _with_interval(mean, values - mean, unit)


def standard_error(influence: "Numbers", unit: "Codes") -> float:
    """Of the mean of rows whose influences are given; NaN below two units."""
    totals = _totals(influence, unit)
    count = len(totals)
    if count < 2:
        return math.nan
    return math.sqrt(float((totals**2).sum()) * count / (count - 1)) / len(influence)


def bernstein_interval(values: "Numbers", largest: float) -> Estimate:
    """For independent values from 0 to `largest`, known before any was seen.

    Holds for every number of rows, at the price of being wide.
    """
    count = len(values)
    mean = float(values.mean())
    if count < 2:
        return Estimate(None, None, None)
    # Both ends may fail: each gets half of what is allowed.
    log_term = math.log(4 / (1 - CONFIDENCE_LEVEL))
    half = math.sqrt(
        2 * float(values.var(ddof=1)) * log_term / count
    ) + 7 * largest * log_term / (3 * (count - 1))
    return Estimate(mean, max(mean - half, 0.0), mean + half)


def effective_count(weights: "Numbers") -> float:
    """Of equally weighted rows that would be as good; Kish (1965). 0 for no weight."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def _totals(values: "Numbers", unit: "Codes") -> "Numbers":
    """Sums by unit, of units that have a row."""
    counts = np.bincount(unit)
    return np.asarray(np.bincount(unit, weights=values)[counts > 0], dtype=np.float64)


def _with_interval(value: float, influence: "Numbers", unit: "Codes") -> Estimate:
    from scipy.special import stdtrit

    error = standard_error(influence, unit)
    if not math.isfinite(error):
        return Estimate(value, None, None)
    degrees = len(np.unique(unit)) - 1
    half = float(stdtrit(degrees, (1 + CONFIDENCE_LEVEL) / 2)) * error
    return Estimate(value, value - half, value + half)

"""Sample-ratio mismatch: did the arms receive the shares they were meant to?

A split that is off says that units were lost or doubled unevenly, which biases every
metric: so it is checked before any of them is read.
"""

import math
from collections.abc import Mapping

from nearline.errors import InputError

SRM_ALARM_LEVEL = 0.001
"""Far below 0.05 on purpose: it is looked at on every refresh of every experiment."""

SRM_WARNING_LEVEL = 0.01
"""Worth a look; the verdict stands."""


def srm_p_value(
    unit_counts: Mapping[str, int],
    expected_weights: Mapping[str, float] | None = None,
) -> float | None:
    """P-value of Pearson's chi-square on the arms' unit counts.

    Weights need not sum to 1; without them all arms are meant to be equal. An arm with
    a weight and no units counts as empty. None where there is nothing to compare: no
    units at all, fewer than two arms, or a negative count.
    """
    from scipy.special import chdtrc

    weights = _weights(unit_counts, expected_weights)
    counts = {arm: unit_counts.get(arm, 0) for arm in weights}
    unit_total = sum(counts.values())
    if len(weights) < 2 or unit_total <= 0 or min(counts.values()) < 0:
        return None
    if any(counts[arm] for arm, weight in weights.items() if weight == 0):
        return 0.0
    weight_total = math.fsum(weights.values())
    expected = {
        arm: unit_total * weight / weight_total
        for arm, weight in weights.items()
        if weight > 0
    }
    if len(expected) < 2:
        return None
    statistic = math.fsum(
        (counts[arm] - target) ** 2 / target for arm, target in expected.items()
    )
    return float(chdtrc(len(expected) - 1, statistic))


def _weights(
    unit_counts: Mapping[str, int], expected_weights: Mapping[str, float] | None
) -> dict[str, float]:
    if expected_weights is None:
        return dict.fromkeys(sorted(unit_counts), 1.0)
    missing = sorted(set(unit_counts) - set(expected_weights))
    if missing:
        raise InputError(
            f"expected weights lack variant {missing[0]!r}; give a weight per variant"
        )
    weights = {arm: float(expected_weights[arm]) for arm in sorted(expected_weights)}
    usable = all(math.isfinite(weight) and weight >= 0 for weight in weights.values())
    if not usable or not any(weights.values()):
        raise InputError(
            "expected weights must be finite, not negative and not all zero"
        )
    return weights

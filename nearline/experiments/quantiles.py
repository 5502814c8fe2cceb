"""Quantiles of units' values, with intervals; units may come in clusters.

No sums can give a quantile: this is the one metric that needs the values themselves.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearline.experiments.inference import (
    DEFAULT_CONFIDENCE_LEVEL,
    ArmEstimate,
    require_level,
)

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class QuantileInterval:
    """A quantile of one arm; low and high are two of the values themselves."""

    estimate: float
    low: float
    high: float


def quantile_interval(
    values: "np.ndarray",
    share: float,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
    clusters: "np.ndarray | None" = None,
) -> QuantileInterval:
    """Interval between order statistics; `share` is 0.9 for the 90th percentile.

    Deng, Knoblich and Lu (2018), KDD, section 4: the share of values below the quantile
    is a mean, or with clusters (one label per value) a ratio of cluster sums, and its
    interval is read off the sorted values.
    """
    import numpy as np
    from scipy.special import ndtri

    require_level(confidence_level)
    ordered = np.sort(np.asarray(values, dtype=float))
    estimate = float(np.quantile(ordered, share))
    error = _error_of_share(values, estimate, share, clusters)
    half_width = float(ndtri((1 + confidence_level) / 2)) * error
    return QuantileInterval(
        estimate,
        _value_at(ordered, math.floor((share - half_width) * len(ordered)) - 1),
        _value_at(ordered, math.ceil((share + half_width) * len(ordered))),
    )


def estimate_quantile(
    values: "np.ndarray", share: float, clusters: "np.ndarray | None" = None
) -> ArmEstimate:
    """The quantile with the squared error that its 95 % interval implies.

    The error is 0 where so many values are equal that the interval has no width; units
    are clusters where there are any.
    """
    import numpy as np
    from scipy.special import ndtri

    interval = quantile_interval(values, share, DEFAULT_CONFIDENCE_LEVEL, clusters)
    critical = float(ndtri((1 + DEFAULT_CONFIDENCE_LEVEL) / 2))
    error = (interval.high - interval.low) / (2 * critical)
    count = len(values) if clusters is None else len(np.unique(clusters))
    return ArmEstimate(interval.estimate, error**2, count)


def _value_at(ordered: "np.ndarray", index: int) -> float:
    return float(ordered[min(max(index, 0), len(ordered) - 1)])


def _error_of_share(
    values: "np.ndarray",
    estimate: float,
    share: float,
    clusters: "np.ndarray | None",
) -> float:
    """Standard error of the share of values at or below the quantile."""
    import numpy as np

    if clusters is None:
        return math.sqrt(share * (1 - share) / len(values))
    below = np.asarray(values) <= estimate
    _, labels = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(labels).astype(float)
    # Linearized: of each cluster, what it has below beyond its own size's share.
    excess = np.bincount(labels, weights=below) - share * sizes
    count = len(sizes)
    if count < 2:
        return math.nan
    return float(math.sqrt(count) * np.std(excess, ddof=1) / sizes.sum())

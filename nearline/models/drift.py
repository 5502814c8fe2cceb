"""Whether the rows that a model is to serve look like those that it was trained on.

Population stability index per feature: sum over bins of (q - p) ln(q / p), bins being
tenths of the training rows, and one for missing. Two samples of one population give about
(bins - 1) (1/n + 1/m) of it, distributed as chi-square (Yurdakul 2018): a feature counts
as drifted where its index is above a limit *and* above what chance gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]

DRIFT_LIMIT = 0.25
"""Above it, credit scoring's custom calls a population shifted."""

_BIN_COUNT = 10
_CHANCE_QUANTILE = 0.999
# Shares of empty bins: a logarithm needs more than none.
_HALF_A_ROW = 0.5


@dataclass(frozen=True, slots=True)
class Reference:
    """One feature's training rows as counts: bins between `edges`, then missing."""

    feature: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """The index of one feature, the least that is no chance, and the least that matters."""

    feature: str
    index: float
    by_chance: float
    limit: float = DRIFT_LIMIT

    @property
    def is_drifted(self) -> bool:
        return self.index > max(self.limit, self.by_chance)


def reference_of(features: Sequence[str], values: "Matrix") -> tuple[Reference, ...]:
    """Counts by tenths of `values` (rows x features); NaN is missing."""
    found = []
    for number, feature in enumerate(features):
        column = values[:, number]
        known = column[np.isfinite(column)]
        inner = np.arange(1, _BIN_COUNT) / _BIN_COUNT
        # Values that repeat make fewer bins, each with at least one of them.
        edges = np.unique(np.quantile(known, inner)) if len(known) else np.empty(0)
        counts = _counts(column, edges)
        found.append(
            Reference(
                feature, tuple(edges.tolist()), tuple(counts.astype(int).tolist())
            )
        )
    return tuple(found)


def drift_of(
    references: Sequence[Reference], values: "Matrix"
) -> tuple[FeatureDrift, ...]:
    """The index of each feature of `values` (rows x features), largest first."""
    found = []
    for number, reference in enumerate(references):
        before = np.array(reference.counts, dtype=np.float64)
        now = _counts(values[:, number], np.array(reference.edges))
        found.append(drift_of_counts(reference.feature, before, now))
    return tuple(sorted(found, key=lambda one: (-one.index, one.feature)))


def drift_of_counts(
    feature: str, before: "Matrix", now: "Matrix", limit: float = DRIFT_LIMIT
) -> FeatureDrift:
    """The index of one feature by the counts of its bins, which both have alike.

    Counts need not be whole, but their sum must be that of what is independent.
    """
    is_used = (before + now) > 0
    if before.sum() == 0 or now.sum() == 0 or is_used.sum() < 2:
        return FeatureDrift(feature, 0.0, 0.0, limit)
    p, q = before[is_used], now[is_used]
    by_chance = index_by_chance(len(p) - 1, float(p.sum()), float(q.sum()))
    p = np.maximum(p, _HALF_A_ROW) / p.sum()
    q = np.maximum(q, _HALF_A_ROW) / q.sum()
    return FeatureDrift(
        feature, float(((q - p) * np.log(q / p)).sum()), by_chance, limit
    )


def index_by_chance(
    degrees_of_freedom: int, before_count: float, now_count: float
) -> float:
    """What two samples of one population exceed in one case of a thousand."""
    from scipy.stats import chi2

    most = chi2.ppf(_CHANCE_QUANTILE, degrees_of_freedom)
    return float(most * (1 / before_count + 1 / now_count))


def _counts(column: "Matrix", edges: "Matrix") -> "Matrix":
    is_known = np.isfinite(column)
    # An edge belongs to the bin below it: a value that most rows share is one bin.
    bins = np.searchsorted(edges, column[is_known], side="left")
    counts = np.bincount(bins, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, float((~is_known).sum()))

"""Bootstrap intervals: percentiles over resampled users or sessions.

Efron & Tibshirani (1993), chapter 13. The unit is whole: all that belongs to a user or
a session is drawn together, since it is not independent.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nearline.estimates import Estimate as Estimate
from nearline.recommend.histories import sparse
from nearline.recommend.ranking import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes

    Numbers: TypeAlias = NDArray[np.float64]

CONFIDENCE_LEVEL = 0.95
RESAMPLE_COUNT = 1000
COVERAGE_RESAMPLE_COUNT = 200
"""A resample's coverage costs a pass over all lists."""

# Numbers drawn at once, to bound memory.
_CHUNK_SIZE = 5_000_000


def mean_estimates(values: "Numbers", seed: int) -> list[Estimate]:
    """Means of the columns of `values` (units x measures), NaN left out."""
    is_defined = ~np.isnan(values)
    return ratio_estimates(np.where(is_defined, values, 0), is_defined, seed)


def ratio_estimates(
    sums: "Numbers", counts: "NDArray[np.generic]", seed: int
) -> list[Estimate]:
    """Sum over sum, of the columns of `sums` (units x measures) and of `counts`, which
    are as many or one column for all.

    The same number of units and the same seed give the same resamples, so that models
    are compared on equal draws.
    """
    weights = np.asarray(counts, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = sums.sum(axis=0) / weights.sum(axis=0)
        resampled = np.vstack(
            [
                (drawn @ sums) / (drawn @ weights)
                for drawn in _draws(len(sums), RESAMPLE_COUNT, seed)
            ]
        )
    return [
        percentile_estimate(value, column)
        for value, column in zip(values, resampled.T, strict=True)
    ]


def quotient_estimate(
    sums: "Numbers",
    counts: "Numbers",
    other_sums: "Numbers",
    other_counts: "Numbers",
    seed: int,
) -> Estimate:
    """Sum over sum, in multiples of another sum over sum; all four by unit.

    A resample in which the other is 0 has no quotient and is left out.
    """
    columns = np.column_stack([sums, counts, other_sums, other_counts])

    def quotient(totals: "Numbers") -> "Numbers":
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Numbers = (totals[..., 0] / totals[..., 1]) / (
                totals[..., 2] / totals[..., 3]
            )
        return found

    resampled = np.concatenate(
        [
            quotient(drawn @ columns)
            for drawn in _draws(len(columns), RESAMPLE_COUNT, seed)
        ]
    )
    return percentile_estimate(float(quotient(columns.sum(axis=0))), resampled)


def coverage_estimate(lists: "Codes", item_count: int, seed: int) -> Estimate:
    """Share of `item_count` items that stand in at least one list.

    A resample holds about 63 % of the units and so covers less than all of them do: the
    percentiles are moved up by that difference, and cut at 1.
    """
    rows, places = np.nonzero(lists != NOTHING)
    items, columns = np.unique(lists[rows, places], return_inverse=True)
    listed = sparse(
        columns, rows, np.ones(len(rows), dtype=np.float32), (len(items), len(lists))
    )
    value = len(items) / item_count
    resampled = np.concatenate(
        [
            ((listed @ (drawn.T > 0).astype(np.float32)) > 0).sum(axis=0) / item_count
            for drawn in _draws(len(lists), COVERAGE_RESAMPLE_COUNT, seed)
        ]
    )
    resampled = np.minimum(resampled + (value - resampled.mean()), 1)
    return percentile_estimate(value, resampled)


def _draws(unit_count: int, resample_count: int, seed: int) -> "Iterator[Numbers]":
    """How often each unit is drawn: blocks of resamples x units."""
    rng = np.random.default_rng(seed)
    block = max(1, min(resample_count, _CHUNK_SIZE // max(unit_count, 1)))
    for start in range(0, resample_count, block):
        height = min(block, resample_count - start)
        drawn = rng.integers(0, unit_count, (height, unit_count))
        drawn += np.arange(height)[:, None] * unit_count
        counts = np.bincount(drawn.ravel(), minlength=height * unit_count)
        yield counts.reshape(height, unit_count).astype(np.float64)


def percentile_estimate(value: float, resampled: "Numbers") -> Estimate:
    """`value` with the percentiles of what it is in resamples, NaN left out."""
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(defined):
        return Estimate(None, None, None)
    tail = (1 - CONFIDENCE_LEVEL) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))

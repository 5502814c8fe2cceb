"""Companions: which items go with an item, counting what is recent more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import places_within, sparse, strongest
from nearline.recommend.interactions import Interactions
from nearline.recommend.ranking import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes

COMPANION_SHRINKAGE = 1.0
"""In pairs of the present moment: one pair seen once proves little."""


@dataclass(frozen=True, slots=True, eq=False)
class Companions:
    """Row i lists what goes with item i, best first; items x places.

    A place left over has `NOTHING` and a score of 0.
    """

    items: "Codes"
    scores: "NDArray[np.float32]"


def find_companions(
    interactions: Interactions,
    *,
    now: float,
    half_life: float,
    count: int,
    categories: "Codes | None" = None,
) -> Companions:
    """Items that the same owners took, by a cosine of counts that halve with time.

    A pair counts 2 ** (-mean age of the two / half-life); a pair's count is divided by
    the root of both items' own counts, plus `COMPANION_SHRINKAGE`. Owners are sessions
    for "viewed together", orders for "bought together".

    Args:
        now: the moment that ages are taken at, seconds like the interactions' times;
            what is later than that is as old as now.
        half_life: seconds.
        categories: one code per item, -1 where unknown; where given, only items of
            another category are companions (accessories rather than alternatives).
    """
    counts = count_pairs(interactions, now, half_life)
    found = counts.scores(now)
    if categories is not None:
        found = across_categories(found, categories)
    best = strongest(found, count)
    return _as_lists(best.indptr, best.indices, best.data, count)


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """How often two items were taken by the same owner, halving with time.

    `pairs` is items x items with an empty diagonal, `own` has each item's own count; both
    are as of `reference` (seconds), with a half-life in seconds.
    """

    pairs: "csr_array"
    own: "NDArray[np.float64]"
    reference: float
    half_life: float

    def scores(self, now: float, items: "Codes | None" = None) -> "csr_array":
        """Each pair's cosine as of `now`, shrunk; of `items` alone where they are given."""
        from scipy.sparse import csr_array

        pairs = self.pairs if items is None else self.pairs[items]
        lengths = np.diff(pairs.indptr)
        rows = np.repeat(
            np.arange(self.pairs.shape[0]) if items is None else items, lengths
        )
        faded = np.exp2(-max(now - self.reference, 0) / self.half_life)
        norms = np.sqrt(self.own[rows] * self.own[pairs.indices])
        scores = pairs.data * faded / (norms * faded + COMPANION_SHRINKAGE)
        return csr_array(
            (scores.astype(np.float32), pairs.indices, pairs.indptr), shape=pairs.shape
        )


def count_pairs(
    interactions: Interactions, reference: float, half_life: float
) -> PairCounts:
    """Counts as of `reference`; what is later than that is as old as it."""
    distinct = interactions.first_of_each_pair()
    age = np.maximum(reference - distinct.times, 0)
    weights = np.exp2(-age / (2 * half_life)).astype(np.float32)
    item_count = interactions.item_count
    matrix = sparse(
        distinct.owners, distinct.items, weights, (distinct.owner_count, item_count)
    )
    pairs = (matrix.T @ matrix).tocsr()
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    own = np.bincount(distinct.items, weights.astype(float) ** 2, minlength=item_count)
    return PairCounts(pairs, own.astype(np.float64), reference, half_life)


def across_categories(
    matrix: "csr_array", categories: "Codes", of_rows: "Codes | None" = None
) -> "csr_array":
    """Entries (items x items) of two items that are of different, known categories.

    Args:
        of_rows: the rows' categories, where rows are not all items.
    """
    entries = matrix.tocoo()
    of_item = (categories if of_rows is None else of_rows)[entries.row]
    of_other = categories[entries.col]
    is_across = (of_item != of_other) & (of_item >= 0) & (of_other >= 0)
    return sparse(
        entries.row[is_across],
        entries.col[is_across],
        entries.data[is_across],
        matrix.shape,
    )


def strongest_of_both(
    scores: "csr_array",
    categories: "Codes",
    count: int,
    of_rows: "Codes | None" = None,
) -> "csr_array":
    """Of each row the `count` best entries across categories, and as many within.

    Args:
        of_rows: as in `across_categories`.
    """
    across = across_categories(scores, categories, of_rows)
    within = (scores - across).tocsr()
    both: csr_array = strongest(across, count) + strongest(within, count)
    return both.tocsr()


def _as_lists(
    starts: "NDArray[np.integer]",
    items: "NDArray[np.integer]",
    scores: "NDArray[np.float32]",
    count: int,
) -> Companions:
    lengths = np.diff(starts)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((items, -scores, rows))
    places = places_within(lengths)
    listed = np.full((len(lengths), count), NOTHING, dtype=np.int32)
    listed_scores = np.zeros(listed.shape, dtype=np.float32)
    listed[rows, places] = items[order]
    listed_scores[rows, places] = scores[order]
    return Companions(listed, listed_scores)

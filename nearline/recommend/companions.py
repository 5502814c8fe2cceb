"""Companions: which items go with an item, counting what is recent more."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import places_within, sparse, strongest
from nearline.recommend.interactions import Interactions
from nearline.recommend.ranking import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    distinct = interactions.first_of_each_pair()
    age = np.maximum(now - distinct.times, 0)
    weights = np.exp2(-age / (2 * half_life)).astype(np.float32)
    item_count = interactions.item_count
    matrix = sparse(
        distinct.owners, distinct.items, weights, (distinct.owner_count, item_count)
    )
    pairs = (matrix.T @ matrix).tocoo()
    own = np.bincount(distinct.items, weights**2, minlength=item_count)
    scores = pairs.data / (
        np.sqrt(own[pairs.row] * own[pairs.col]) + COMPANION_SHRINKAGE
    )
    is_companion = pairs.row != pairs.col
    if categories is not None:
        of_item, of_other = categories[pairs.row], categories[pairs.col]
        is_companion &= (of_item != of_other) & (of_item >= 0) & (of_other >= 0)
    best = strongest(
        sparse(
            pairs.row[is_companion],
            pairs.col[is_companion],
            scores[is_companion].astype(np.float32),
            (item_count, item_count),
        ),
        count,
    )
    return _as_lists(best.indptr, best.indices, best.data, count)


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

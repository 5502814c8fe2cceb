"""Measures of ranked lists against what was taken next.

Notation: a user's list is best first; R is the number of test items of the user, whether
or not a model could have known them; only the first k places of a list count. Every
function gives one number per row; the mean over rows is what is reported.

The definitions are those of trec_eval where it has the measure (`P`, `recall`,
`success`, `ndcg_cut`, `recip_rank`), except for MAP's normaliser; a test holds that.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nearline.recommend.ranking import NOTHING

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes
    from nearline.recommend.intervals import Numbers

HEAD_SHARE = 0.2
"""The most popular fifth of the items is the head (Abdollahpouri et al. 2017)."""

MOST_DIVERSITY_PLACES = 100

# Rows of item x item made at once, to bound memory.
_CHUNK_OF_ITEMS = 512


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """Where lists hold test items: `is_hit` is rows x places, `target_counts` is R."""

    is_hit: "NDArray[np.bool_]"
    target_counts: "NDArray[np.int64]"


def find_hits(
    lists: "Codes",
    target_rows: "NDArray[np.integer]",
    target_items: "Codes",
    item_count: int,
) -> Hits:
    """Lists (rows x places) against targets given as pairs of row and item, each once."""
    rows = np.arange(len(lists))[:, None]
    is_hit = np.isin(
        rows * item_count + lists,
        target_rows.astype(np.int64) * item_count + target_items,
    )
    is_hit &= lists != NOTHING
    return Hits(is_hit, np.bincount(target_rows, minlength=len(lists)))


def precision(hits: Hits, k: int) -> "Numbers":
    """Hits among the first k, divided by k, also where the list is shorter than k."""
    return _hit_counts(hits, k) / k


def recall(hits: Hits, k: int) -> "Numbers":
    """Hits among the first k, divided by R (and not by min(R, k))."""
    return _hit_counts(hits, k) / hits.target_counts


def hit_rate(hits: Hits, k: int) -> "Numbers":
    """1 where there is a hit among the first k, else 0."""
    return (_hit_counts(hits, k) > 0).astype(np.float64)


def average_precision(hits: Hits, k: int) -> "Numbers":
    """The precision at each hit's place, added up and divided by min(R, k).

    A list that holds nothing but hits has 1, also where R exceeds k; trec_eval's
    `map_cut` divides by R instead. The mean over users is MAP.
    """
    is_hit = hits.is_hit[:, :k]
    places = np.arange(1, is_hit.shape[1] + 1)
    at_hits = np.cumsum(is_hit, axis=1) / places * is_hit
    sums: Numbers = at_hits.sum(axis=1)
    return sums / np.minimum(hits.target_counts, k)


def ndcg(hits: Hits, k: int) -> "Numbers":
    """1 / log2(place + 1) over hits, divided by that sum for min(R, k) hits on top.

    Järvelin & Kekäläinen (2002) with gains of 0 and 1.
    """
    is_hit = hits.is_hit[:, :k]
    best_counts = np.minimum(hits.target_counts, k)
    places = max(is_hit.shape[1], best_counts.max(initial=1))
    discounts = 1 / np.log2(np.arange(2, places + 2))
    ideal = np.cumsum(discounts)[best_counts - 1]
    gains: Numbers = is_hit @ discounts[: is_hit.shape[1]]
    shares: Numbers = gains / ideal
    return shares


def reciprocal_rank(hits: Hits, k: int) -> "Numbers":
    """1 / place of the first hit among the first k, 0 without one."""
    is_hit = hits.is_hit[:, :k]
    first = is_hit.argmax(axis=1)
    found: Numbers = np.where(is_hit.any(axis=1), 1 / (first + 1), 0.0)
    return found


def _hit_counts(hits: Hits, k: int) -> "Numbers":
    counts: Numbers = hits.is_hit[:, :k].sum(axis=1, dtype=np.float64)
    return counts


ACCURACY: Mapping[str, Callable[[Hits, int], "Numbers"]] = {
    "precision": precision,
    "recall": recall,
    "hr": hit_rate,
    "map": average_precision,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
}


def novelty(
    lists: "Codes", item_counts: "NDArray[np.int64]", user_count: int
) -> "Numbers":
    """Mean of -log2(share of the training's users who have the item) over a list; bits.

    Self-information, Zhou et al. (2010). NaN for an empty list.
    """
    with np.errstate(divide="ignore"):
        bits = -np.log2(item_counts / user_count)
    return _mean_over(lists, bits)


def popularity_share(lists: "Codes", item_counts: "NDArray[np.int64]") -> "Numbers":
    """Share of a list's items that belong to the head; NaN for an empty list.

    The head is the most popular `HEAD_SHARE` of the items of the training, rounded up.
    """
    in_training = np.count_nonzero(item_counts)
    size = int(np.ceil(HEAD_SHARE * in_training))
    is_head = np.zeros(len(item_counts))
    is_head[np.argsort(-item_counts, kind="stable")[:size]] = 1
    return _mean_over(lists, is_head)


def _mean_over(lists: "Codes", values: "Numbers") -> "Numbers":
    is_item = lists != NOTHING
    sums = np.where(is_item, values[lists], 0).sum(axis=1)
    return _divided(sums, is_item.sum(axis=1))


def _divided(sums: "Numbers", counts: "NDArray[np.int64]") -> "Numbers":
    """NaN where there is nothing to divide by."""
    means: Numbers = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


class Similarity(Protocol):
    """How alike two items are, 0 to 1."""

    def of(self, first: "Codes", second: "Codes") -> "Numbers":
        """Of each of `first` with its partner in `second`."""
        ...


def diversity(lists: "Codes", similarity: Similarity) -> "Numbers":
    """1 - mean similarity of the pairs of a list; NaN under two items.

    Intra-list diversity, Ziegler et al. (2005). Of lists longer than
    `MOST_DIVERSITY_PLACES` the beginning counts: pairs grow with the square.
    """
    lists = lists[:, :MOST_DIVERSITY_PLACES]
    sums = np.zeros(len(lists))
    counts = np.zeros(len(lists), dtype=np.int64)
    for first, second in _pairs(lists):
        is_pair = (first != NOTHING) & (second != NOTHING)
        counts += is_pair
        sums += np.where(is_pair, 1.0 - similarity.of(first, second), 0.0)
    return _divided(sums, counts)


def _pairs(lists: "Codes") -> "Iterator[tuple[Codes, Codes]]":
    for second in range(1, lists.shape[1]):
        for first in range(second):
            yield lists[:, first], lists[:, second]


@dataclass(frozen=True, slots=True, eq=False)
class CategorySimilarity:
    """1 within a category, else 0; an item of unknown category (-1) is like none."""

    categories: "Codes"

    def of(self, first: "Codes", second: "Codes") -> "Numbers":
        of_first = self.categories[first]
        is_same = (of_first == self.categories[second]) & (of_first >= 0)
        return np.asarray(is_same, dtype=np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class CooccurrenceSimilarity:
    """Cosines of pairs of items, by `key`; a pair that is not held has 0.

    An item's vector is its column of users x items: two items that the same people take
    are alike.
    """

    keys: "NDArray[np.int64]"
    cosines: "Numbers"
    item_count: int

    def of(self, first: "Codes", second: "Codes") -> "Numbers":
        if not len(self.keys):
            return np.zeros(len(first))
        wanted = _pair_keys(first, second, self.item_count)
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[places] == wanted, self.cosines[places], 0.0)


def cooccurrence_similarity(
    lists: "Codes", matrix: "csr_array"
) -> CooccurrenceSimilarity:
    """The similarity of the pairs that stand in `lists`, from `matrix` (0 or 1).

    Only these: all pairs of many items would not fit into memory.
    """
    from scipy.sparse import diags_array

    item_count = matrix.shape[1]
    lists = lists[:, :MOST_DIVERSITY_PLACES]
    wanted = np.unique(
        np.concatenate(
            [
                np.empty(0, dtype=np.int64),
                *(
                    np.unique(_pair_keys(first, second, item_count))
                    for first, second in _pairs(lists)
                ),
            ]
        )
    )
    listed = np.unique(lists[lists != NOTHING])
    columns = matrix.tocsc()[:, listed]
    unit = columns @ diags_array(1 / np.sqrt(np.maximum(columns.sum(axis=0), 1)))
    keys = [np.empty(0, dtype=np.int64)]
    cosines = [np.empty(0)]
    for start in range(0, len(listed), _CHUNK_OF_ITEMS):
        chunk = slice(start, start + _CHUNK_OF_ITEMS)
        product = (unit[:, chunk].T @ unit).tocoo()
        first, second = listed[chunk][product.row], listed[product.col]
        found = _pair_keys(first, second, item_count)
        is_wanted = (first < second) & np.isin(found, wanted)
        keys.append(found[is_wanted])
        cosines.append(product.data[is_wanted].astype(np.float64))
    found = np.concatenate(keys)
    order = np.argsort(found)
    return CooccurrenceSimilarity(
        found[order], np.concatenate(cosines)[order], item_count
    )


def _pair_keys(first: "Codes", second: "Codes", item_count: int) -> "NDArray[np.int64]":
    lower = np.minimum(first, second).astype(np.int64)
    return lower * item_count + np.maximum(first, second)

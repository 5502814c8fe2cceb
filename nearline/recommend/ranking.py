"""Rankings: from scores to the best few, with equal scores in a stated order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories, batches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Model

NOTHING = -1
"""Fills a list that has fewer items than places."""


def top_items(scores: "NDArray[np.float32]", k: int, tie_order: "Codes") -> "Codes":
    """The k best items of each row, best first; rows x k, `NOTHING` where there is none.

    Items scored -inf or NaN are never listed. Equal scores stand in the order of
    `tie_order` (a permutation of the items): codes follow ids, and ids often follow age
    or popularity, so that their own order would say something.
    """
    count = scores.shape[1]
    width = min(k, count)
    if width == 0:
        return np.full((len(scores), k), NOTHING, dtype=np.int32)
    permuted = np.where(np.isnan(scores), -np.inf, scores)[:, tie_order]
    if width < count:
        least = np.partition(permuted, count - width, axis=1)[:, count - width, None]
        is_above = permuted > least
        is_level = permuted == least
        room = width - is_above.sum(axis=1, keepdims=True)
        crowded = np.flatnonzero(is_level.sum(axis=1) > room[:, 0])
        is_level[crowded] &= np.cumsum(is_level[crowded], axis=1) <= room[crowded]
        places = np.nonzero(is_above | is_level)[1].reshape(len(scores), width)
    else:
        places = np.broadcast_to(np.arange(count), permuted.shape)
    chosen = np.take_along_axis(permuted, places, axis=1)
    order = np.argsort(-chosen, axis=1, kind="stable")
    items = tie_order[np.take_along_axis(places, order, axis=1)].astype(np.int32)
    items[np.isneginf(np.take_along_axis(chosen, order, axis=1))] = NOTHING
    padding = np.full((len(scores), k - width), NOTHING, dtype=np.int32)
    return np.hstack([items, padding])


def unseen_lists(
    model: "Model",
    histories: Histories,
    may_be_listed: "NDArray[np.bool_]",
    k: int,
    order: "Codes",
    advance: Callable[[float], None] = lambda share: None,
) -> "Codes":
    """The k best items for each history, as `top_items` has them; none of its own.

    Args:
        may_be_listed: of each item; the rest stands in no list.
        advance: told how much more of the whole is done, 1 in all.
    """
    lists = [np.empty((0, k), dtype=np.int32)]
    for part in batches(histories, len(may_be_listed)):
        scores = without_seen(model.score(part), part)
        scores[:, ~may_be_listed] = -np.inf
        lists.append(top_items(scores, k, order))
        advance(len(part) / len(histories))
    return np.vstack(lists)


def without_seen(
    scores: "NDArray[np.float32]", histories: Histories
) -> "NDArray[np.float32]":
    """Scores with -inf at the items of each row's own history; changed in place."""
    seen = histories.entries()
    scores[seen.rows, seen.items] = -np.inf
    return scores


def tie_order(item_count: int, seed: int) -> "Codes":
    """A permutation of the items, the same for the same seed."""
    return np.random.default_rng(seed).permutation(item_count).astype(np.int32)


def ranks_of(
    scores: "NDArray[np.float32]", items: "Codes", tie_order: "Codes"
) -> "NDArray[np.float64]":
    """The place, from 1, that `items[n]` has in row n by the order of `top_items`.

    Infinite where the item would never be listed.
    """
    scores = np.where(np.isnan(scores), -np.inf, scores)
    place = np.empty(len(tie_order), dtype=np.int64)
    place[tie_order] = np.arange(len(tie_order))
    own = scores[np.arange(len(scores)), items][:, None]
    is_before = (scores == own) & (place < place[items][:, None])
    ranks = 1.0 + ((scores > own) | is_before).sum(axis=1)
    return np.where(np.isneginf(own[:, 0]), np.inf, ranks)

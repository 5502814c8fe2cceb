"""Diversity: a list whose items are good and not all alike."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes


def diversify(
    scores: "NDArray[np.floating]",
    similarity: "NDArray[np.floating]",
    k: int,
    relevance_share: float,
) -> "Codes":
    """Places of the chosen candidates, in order, by maximal marginal relevance.

    Carbonell & Goldstein (1998): each next one has the highest share * score -
    (1 - share) * similarity to the nearest one chosen. Scores are taken from 0 (the
    lowest) to 1, so that the share means the same for every model; equal ones keep their
    order. NaN and -inf are never chosen, so there may be fewer than k.

    Args:
        scores: one per candidate.
        similarity: candidates x candidates, 0 to 1.
        relevance_share: 1 is the order of the scores, 0 is diversity alone.
    """
    eligible = np.isfinite(scores)
    relevance = np.zeros(len(scores))
    if eligible.any():
        low, high = scores[eligible].min(), scores[eligible].max()
        relevance[eligible] = (scores[eligible] - low) / (high - low or 1)
    nearest = np.zeros(len(scores))
    chosen: list[int] = []
    while len(chosen) < min(k, int(eligible.sum())):
        value = relevance_share * relevance - (1 - relevance_share) * nearest
        value[~eligible] = -np.inf
        value[chosen] = -np.inf
        best = int(value.argmax())
        chosen.append(best)
        nearest = np.maximum(nearest, similarity[best])
    return np.array(chosen, dtype=np.int32)

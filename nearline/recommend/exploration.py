"""Exploration: now and then another item than the best, with odds that are known.

What is shown at random, and how likely it was, is the one unbiased view of items that a
model does not favour; off-policy evaluation divides by these odds.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A list that was drawn, and the odds that it was drawn with.

    `items` are the candidates shown, in order; `place_odds[n]` is the probability that
    item n stands at its very place, `odds[n]` that it is shown anywhere. `candidate_odds`
    has the latter for each candidate, shown or not; they add up to the list's length.
    """

    items: "Codes"
    place_odds: "NDArray[np.float64]"
    odds: "NDArray[np.float64]"
    is_explored: "NDArray[np.bool_]"
    candidate_odds: "NDArray[np.float64]"


def explore(
    ranked: "Codes", k: int, exploration_share: float, rng: np.random.Generator
) -> Shown:
    """The first k of `ranked`, each place given away with `exploration_share`.

    Places given away are filled from the candidates beyond k, all alike and none twice.
    Where these are fewer than the places given away, only as many places are, drawn
    evenly; the odds say so.

    Args:
        ranked: candidates, best first, each once.

    Raises:
        InputError: the share does not lie between 0 and 1.
    """
    if not 0 <= exploration_share <= 1:
        raise InputError("the share of exploration must lie between 0 and 1")
    top, others = ranked[:k], ranked[k:]
    given_away = np.flatnonzero(rng.random(len(top)) < exploration_share)
    if len(given_away) > len(others):
        given_away = rng.choice(given_away, len(others), replace=False)
    items = top.copy()
    is_explored = np.zeros(len(top), dtype=bool)
    is_explored[given_away] = True
    drawn = rng.choice(len(others), len(given_away), replace=False)
    items[given_away] = others[drawn]
    share = _share_given_away(len(top), len(others), exploration_share)
    of_other = share / max(len(others), 1)
    candidate_odds = np.concatenate(
        [np.full(len(top), 1 - share), np.full(len(others), of_other * len(top))]
    )
    return Shown(
        items=items,
        place_odds=np.where(is_explored, of_other, 1 - share),
        odds=np.where(is_explored, of_other * len(top), 1 - share),
        is_explored=is_explored,
        candidate_odds=candidate_odds,
    )


def _share_given_away(place_count: int, other_count: int, share: float) -> float:
    """Expected share of the places given away, at most `other_count` of them."""
    if other_count >= place_count:
        return share
    from scipy.stats import binom

    counts = np.arange(place_count + 1)
    odds = binom.pmf(counts, place_count, share)
    return float((odds * np.minimum(counts, other_count)).sum() / place_count)

"""`trending`: popularity that forgets. `repeats`: what a session had before, latest
first, since people go back to it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories, weighted_matrix
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.popularity import Popularity
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from nearline.recommend.models.protocol import Scores

HALF_LIVES_IN_DATA = 10
"""The half-life is the time from the first to the last interaction by this."""

REPEAT_DECAY = 0.8


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """An item's score is `decay` ** (items since its latest place in the history)."""

    item_count: int
    decay: float

    def score(self, histories: Histories) -> "Scores":
        scores: Scores = weighted_matrix(
            histories, self.item_count, self.decay
        ).toarray()
        return scores


def fit_trending(train: Interactions, fitting: Fitting) -> Popularity:
    """Each interaction counts half as much a half-life before the last one."""
    age = train.times.max() - train.times
    weights = np.exp2(-age / trending_half_life(train))
    counts = np.bincount(train.items, weights, minlength=train.item_count)
    return Popularity(counts.astype(np.float32))


def trending_half_life(train: Interactions) -> float:
    """Seconds."""
    span = float(np.ptp(train.times)) if len(train) else 0.0
    return max(span / HALF_LIVES_IN_DATA, np.finfo(float).tiny)


def fit_repeats(train: Interactions, fitting: Fitting) -> Repeats:
    return Repeats(train.item_count, REPEAT_DECAY)

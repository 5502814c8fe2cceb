"""`popularity`: everybody gets what most have taken. The least a model must beat."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from nearline.recommend.models.protocol import Scores


@dataclass(frozen=True, slots=True, eq=False)
class Popularity:
    """The number of interactions of each item."""

    counts: "Scores"

    def score(self, histories: Histories) -> "Scores":
        return np.repeat(self.counts[None, :], len(histories), axis=0)


def fit_popularity(train: Interactions, fitting: Fitting) -> Popularity:
    return Popularity(train.item_counts().astype(np.float32))

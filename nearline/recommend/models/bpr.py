"""`bpr`: matrix factorization by stochastic gradient descent on pairs, Rendle et al.
(2009), "BPR: Bayesian Personalized Ranking from Implicit Feedback".

Of an item that an owner took and one that they did not, drawn evenly as in the paper, the
first is to score higher. The library `implicit`, which makes our ALS, draws the second
by popularity: on MovieLens 100k that halves what is found. Steps are AdaGrad's (Duchi et
al. 2011), in small batches.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import Histories
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.models.protocol import Scores

FACTOR_COUNT = 64
EPOCH_COUNT = 40
BATCH_SIZE = 4096
LEARNING_RATE = 0.05
REGULARIZATION = 0.02
START_SPREAD = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseRanking:
    """Owners x factors and items x factors, with an item's bias as the last factor."""

    owner_factors: "Scores"
    item_factors: "Scores"

    def score(self, histories: Histories) -> "Scores":
        """Of the owners of the training alone: their histories are not looked at."""
        assert histories.owners is not None
        scores: Scores = self.owner_factors[histories.owners] @ self.item_factors.T
        return scores


def fit_bpr(train: Interactions, fitting: Fitting) -> PairwiseRanking:
    rng = np.random.default_rng(fitting.seed)
    distinct = train.first_of_each_pair()
    taken = np.sort(
        distinct.owners.astype(np.int64) * train.item_count + distinct.items
    )
    known = np.unique(distinct.items)
    owners = _start(rng, train.owner_count)
    owners.values[:, -1] = 1  # meets the item's bias, and is never moved
    items = _start(rng, train.item_count)
    items.values[:, -1] = 0
    for _ in range(EPOCH_COUNT):
        order = rng.permutation(len(distinct))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            owner, better = distinct.owners[batch], distinct.items[batch]
            worse = known[rng.integers(0, len(known), len(batch))]
            drawn = owner.astype(np.int64) * train.item_count + worse
            places = np.minimum(np.searchsorted(taken, drawn), len(taken) - 1)
            is_pair = taken[places] != drawn
            _step(owners, items, owner[is_pair], better[is_pair], worse[is_pair])
    return PairwiseRanking(owners.values, items.values)


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """Values, and AdaGrad's sum of squared gradients beside each; changed in place."""

    values: "NDArray[np.float32]"
    squares: "NDArray[np.float32]"

    def move(
        self, rows: "NDArray[np.integer]", gradients: "NDArray[np.float32]"
    ) -> None:
        """One step; gradients of the same row are added up first."""
        from scipy.sparse import csr_array

        unique, places = np.unique(rows, return_inverse=True)
        gather = csr_array(
            (
                np.ones(len(rows), dtype=np.float32),
                (places, np.arange(len(rows))),
            ),
            shape=(len(unique), len(rows)),
        )
        gradient = gather @ gradients
        self.squares[unique] += gradient**2
        self.values[unique] -= LEARNING_RATE * gradient / np.sqrt(self.squares[unique])


def _start(rng: np.random.Generator, count: int) -> _Factors:
    values = rng.standard_normal((count, FACTOR_COUNT + 1), dtype=np.float32)
    return _Factors(
        values * np.float32(START_SPREAD), np.full_like(values, np.float32(1e-6))
    )


def _step(
    owners: _Factors,
    items: _Factors,
    owner: "NDArray[np.integer]",
    better: "NDArray[np.integer]",
    worse: "NDArray[np.integer]",
) -> None:
    of_owner = owners.values[owner]
    of_better, of_worse = items.values[better], items.values[worse]
    margin = ((of_better - of_worse) * of_owner).sum(axis=1, keepdims=True)
    # 1 / (1 + e^margin), which cannot overflow in this form.
    pull = ((1 - np.tanh(margin / 2)) / 2).astype(np.float32)
    by_owner = REGULARIZATION * of_owner - pull * (of_better - of_worse)
    by_owner[:, -1] = 0
    owners.move(owner, by_owner)
    items.move(
        np.concatenate([better, worse]),
        np.concatenate(
            [
                REGULARIZATION * of_better - pull * of_owner,
                REGULARIZATION * of_worse + pull * of_owner,
            ]
        ),
    )

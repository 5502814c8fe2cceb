"""`ease`: a linear autoencoder in closed form, Steck (2019), "Embarrassingly Shallow
Autoencoders for Sparse Data".

Item x item weights B with a zero diagonal that minimise |X - XB|² + penalty |B|²: with
P = (X'X + penalty I)^-1, B = -P / diag(P) off the diagonal.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.histories import Histories, interaction_matrix, sparse
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.models.protocol import Scores

MOST_ITEMS = 20_000
"""Time grows with the cube of the items, memory with their square (5 GB at this many)."""

PENALTY = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Ease:
    """`weights` is known items x known items; `items` are their codes, ascending."""

    weights: "Scores"
    items: "NDArray[np.integer]"
    item_count: int

    def score(self, histories: Histories) -> "Scores":
        if len(histories) == 1:
            return self._score_one(histories)
        scores = np.zeros((len(histories), self.item_count), dtype=np.float32)
        scores[:, self.items] = self._known(histories) @ self.weights
        return scores

    def _score_one(self, history: Histories) -> "Scores":
        # What every request asks for; a matrix takes longer to make than to add up rows.
        taken = np.unique(history.entries().items)
        places = np.searchsorted(self.items, taken)
        places = places[self.items.take(places, mode="clip") == taken]
        scores = np.zeros((1, self.item_count), dtype=np.float32)
        scores[0, self.items] = self.weights[places].sum(axis=0)
        return scores

    def _known(self, histories: Histories) -> "csr_array":
        """Histories x known items, 1 where one occurs."""
        entries = histories.entries()
        places = np.searchsorted(self.items, entries.items)
        is_known = self.items.take(places, mode="clip") == entries.items
        matrix = sparse(
            entries.rows[is_known],
            places[is_known],
            np.ones(int(is_known.sum()), dtype=np.float32),
            (len(histories), len(self.items)),
        )
        matrix.data[:] = 1
        return matrix


def fit_ease(train: Interactions, fitting: Fitting) -> Ease:
    """On all items of the training.

    Raises:
        InputError: they are more than `MOST_ITEMS`.
    """
    item_count = int(np.count_nonzero(train.item_counts()))
    if item_count > MOST_ITEMS:
        raise InputError(
            f"model ease takes at most {MOST_ITEMS:,} items, training holds "
            f"{item_count:,}; als and nearline have no such limit"
        )
    return fit_ease_on(train, MOST_ITEMS, PENALTY)


def fit_ease_on(train: Interactions, most_items: int, penalty: float) -> Ease:
    """On the `most_items` most popular items; others keep a score of 0."""
    from scipy.linalg.lapack import dpotrf, dpotri

    counts = train.item_counts()
    popular = np.argsort(-counts, kind="stable")[:most_items]
    items = np.sort(popular[counts[popular] > 0])
    matrix = interaction_matrix(train)[:, items]
    gram = (matrix.T @ matrix).toarray(order="F").astype(np.float64, order="F")
    gram[np.diag_indices_from(gram)] += penalty
    # In place, and only the lower triangle: half the work and a third of the memory of
    # `inv`. A penalty makes the matrix positive definite, so neither step can fail.
    factor, _ = dpotrf(gram, lower=1, overwrite_a=1)
    inverse, _ = dpotri(factor, lower=1, overwrite_c=1)
    weights = inverse.astype(np.float32)
    del gram, factor, inverse
    weights = np.tril(weights) + np.tril(weights, -1).T
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return Ease(weights, items, train.item_count)

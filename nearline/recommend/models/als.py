"""`als`: matrix factorization by weighted least squares in turns, with `implicit`.

Hu, Koren & Volinsky (2008), "Collaborative Filtering for Implicit Feedback Datasets".
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nearline.recommend.histories import Histories, interaction_matrix
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray
    from scipy.sparse import csr_array, csr_matrix

    from nearline.recommend.models.protocol import Scores

    Factors: TypeAlias = NDArray[np.float64]

FACTOR_COUNT = 64
REGULARIZATION = 30.0
CONFIDENCE = 5.0
"""How much more an interaction weighs than an absence."""
ITERATION_COUNT = 15


@dataclass(frozen=True, slots=True, eq=False)
class AlternatingLeastSquares:
    """`item_factors` is items x factors, `owner_gram` the sum of the outer products of
    the training's owners' factors. A history's own factors are solved for when it is
    asked about, so that nobody need have been in the training.
    """

    item_factors: "Scores"
    owner_gram: "Factors"
    regularization: float
    confidence: float
    item_gram: "Factors"

    def score(self, histories: Histories) -> "Scores":
        return self.owner_factors(histories).astype(np.float32) @ self.item_factors.T

    def owner_factors(self, histories: Histories) -> "Factors":
        """Histories x factors; zeros for an empty history."""
        if len(histories) == 1:
            # What every request asks for; a matrix takes as long to make as this to solve.
            taken: list[NDArray[np.integer]] = [np.unique(histories.entries().items)]
        else:
            taken = _columns_by_row(histories.matrix(len(self.item_factors)))
        return self._solve(taken, self.item_factors, self.item_gram)

    def with_items(self, taken_by: "csr_array", owners: "Factors") -> "Self":
        """With more items, whose factors are solved for with the owners' held fixed.

        Args:
            taken_by: more items x owners, 1 where an owner took the item.
            owners: owners x factors, as `owner_factors` has them.
        """
        by_item = _columns_by_row(taken_by)
        more = self._solve(by_item, owners, self.owner_gram).astype(np.float32)
        return replace(self, item_factors=np.vstack([self.item_factors, more]))

    def _solve(
        self,
        taken_by_row: "Sequence[NDArray[np.integer]]",
        factors: "NDArray[np.floating]",
        gram: "Factors",
    ) -> "Factors":
        """The half step of the method for each row, given the other side's factors and
        which of it the row took."""
        base = gram + self.regularization * np.eye(len(gram))
        solved = np.zeros((len(taken_by_row), len(gram)))
        with _numpys_thread_pools().limit(limits=1, user_api="blas"):
            for row, chosen in enumerate(taken_by_row):
                if not len(chosen):
                    continue
                taken = factors[chosen].astype(np.float64)
                normal = base + (self.confidence - 1) * (taken.T @ taken)
                solved[row] = np.linalg.solve(
                    normal, self.confidence * taken.sum(axis=0)
                )
        return solved


def _columns_by_row(matrix: "csr_array") -> "list[NDArray[np.integer]]":
    return np.split(matrix.indices, matrix.indptr[1:-1])


def fit_als(train: Interactions, fitting: Fitting) -> AlternatingLeastSquares:
    from implicit.cpu.als import AlternatingLeastSquares as Library

    with _one_blas_thread():
        library = Library(
            factors=FACTOR_COUNT,
            regularization=REGULARIZATION,
            alpha=CONFIDENCE,
            iterations=ITERATION_COUNT,
            random_state=fitting.seed,
        )
        library.fit(_library_matrix(train), show_progress=False)
    items = np.asarray(library.item_factors)
    return AlternatingLeastSquares(
        item_factors=items,
        owner_gram=_gram(np.asarray(library.user_factors)),
        regularization=REGULARIZATION,
        confidence=CONFIDENCE,
        item_gram=_gram(items),
    )


def _gram(factors: "NDArray[np.floating]") -> "Factors":
    exact = factors.astype(np.float64)
    return exact.T @ exact


def _library_matrix(train: Interactions) -> "csr_matrix":
    from scipy.sparse import csr_matrix

    return csr_matrix(interaction_matrix(train))


def _one_blas_thread() -> AbstractContextManager[Any]:
    """Systems this small are slower on several threads; and the library has threads of
    its own, and warns where those of BLAS come on top.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits


@cache
def _numpys_thread_pools() -> Any:
    """Looked for once, since that takes longer than to solve for a history."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()

"""`als`: matrix factorization by weighted least squares in turns, with `implicit`.

Hu, Koren & Volinsky (2008), "Collaborative Filtering for Implicit Feedback Datasets".
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.recommend.histories import Histories, interaction_matrix
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from nearline.recommend.models.protocol import Scores

FACTOR_COUNT = 64
REGULARIZATION = 30.0
CONFIDENCE = 5.0
"""How much more an interaction weighs than an absence."""
ITERATION_COUNT = 15


@dataclass(frozen=True, slots=True, eq=False)
class AlternatingLeastSquares:
    """`item_factors` is items x factors. A history's own factors are solved for when it
    is asked about, so that nobody need have been in the training.
    """

    item_factors: "Scores"
    regularization: float
    confidence: float

    def score(self, histories: Histories) -> "Scores":
        factors = self.item_factors.astype(np.float64)
        base = factors.T @ factors
        base[np.diag_indices_from(base)] += self.regularization
        matrix = histories.matrix(len(factors))
        owners = np.zeros((len(histories), factors.shape[1]))
        with _one_blas_thread():
            for row in np.flatnonzero(np.diff(matrix.indptr)):
                places = slice(matrix.indptr[row], matrix.indptr[row + 1])
                taken = factors[matrix.indices[places]]
                normal = base + (self.confidence - 1) * (taken.T @ taken)
                owners[row] = np.linalg.solve(
                    normal, self.confidence * taken.sum(axis=0)
                )
        return owners.astype(np.float32) @ self.item_factors.T


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
    return AlternatingLeastSquares(
        np.asarray(library.item_factors), REGULARIZATION, CONFIDENCE
    )


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

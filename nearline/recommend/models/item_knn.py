"""`item-knn`: items that the same owners take, by cosine with shrinkage.

Sarwar et al. (2001); shrinkage as in Bell & Koren (2007): of two pairs with the same
cosine the one seen more often is trusted more. Learnt from sessions it is co-visitation.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import (
    Histories,
    interaction_matrix,
    strongest,
    weigh_rows,
)
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from nearline.recommend.models.protocol import Scores

NEIGHBOUR_COUNT = 20
SHRINKAGE = 50.0

# A session of one item has no other item's neighbours to fill its list with.
SESSION_NEIGHBOUR_COUNT = 100

# How much less an item says with each item that came after it in a session. Users'
# histories take no decay: what was liked once is liked.
SESSION_DECAY = 0.6

# Rows of item x item made at once, to bound memory.
_CHUNK_OF_ITEMS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class ItemNeighbours:
    """Items x items, row i the neighbours of i; `decay` weighs a history's items."""

    similarity: "csr_array"
    decay: float

    def score(self, histories: Histories) -> "Scores":
        return weigh_rows(histories, self.similarity, self.decay)


def fit_item_knn(train: Interactions, fitting: Fitting) -> ItemNeighbours:
    return ItemNeighbours(cosine_neighbours(interaction_matrix(train)), decay=1.0)


def fit_covisitation(train: Interactions, fitting: Fitting) -> ItemNeighbours:
    return ItemNeighbours(
        cosine_neighbours(interaction_matrix(train), SESSION_NEIGHBOUR_COUNT),
        decay=SESSION_DECAY,
    )


def cosine_neighbours(
    matrix: "csr_array",
    neighbour_count: int = NEIGHBOUR_COUNT,
    shrinkage: float = SHRINKAGE,
) -> "csr_array":
    """Of each item its nearest, by c_ij / (sqrt(n_i n_j) + shrinkage); items x items.

    `matrix` is owners x items, 0 or 1; c counts common owners, n an item's owners. No
    item is its own neighbour.
    """
    from scipy.sparse import csr_array, vstack

    by_item = matrix.T.tocsr()
    counts = np.asarray(matrix.sum(axis=0), dtype=np.float32)
    blocks = []
    for start in range(0, by_item.shape[0], _CHUNK_OF_ITEMS):
        common = (by_item[start : start + _CHUNK_OF_ITEMS] @ matrix).tocoo()
        rows, columns = common.row + start, common.col
        values = common.data / (np.sqrt(counts[rows] * counts[columns]) + shrinkage)
        values[rows == columns] = 0
        block = csr_array(
            (values, (common.row, columns)), shape=common.shape, dtype=np.float32
        )
        blocks.append(strongest(block, neighbour_count))
    neighbours: csr_array = vstack(blocks, format="csr")
    return neighbours

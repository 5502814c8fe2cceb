"""`session-knn`: sessions like this one, and what else was in them (V-SkNN).

Ludewig & Jannach (2018), "Evaluation of session-based recommendation algorithms": the
session's later items weigh more in finding neighbours, and a neighbour counts more the
later in the session it shares an item. A user's history may stand for a session.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import (
    Histories,
    interaction_matrix,
    places_within,
    sparse,
    strongest,
)
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.models.protocol import Scores

NEIGHBOUR_COUNT = 200
RECENT_COUNT = 1000
"""Of each item the most recent sessions that hold it are looked at, and no more."""

LATEST_ITEM_COUNT = 30
"""Items of a history that are looked at; earlier ones would weigh next to nothing."""

# Pairs of a history and a session laid out at once, to bound memory.
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class SessionNeighbours:
    """`sessions` is sessions x items, weighted by an item's rarity; `recent` lists the
    sessions of item i at `recent[starts[i]:starts[i + 1]]`.
    """

    sessions: "csr_array"
    norms: "NDArray[np.float32]"
    recent: "NDArray[np.int64]"
    starts: "NDArray[np.int64]"

    def score(self, histories: Histories) -> "Scores":
        histories = histories.latest(LATEST_ITEM_COUNT)
        scores = np.zeros((len(histories), self.sessions.shape[1]), dtype=np.float32)
        first = 0
        for last in self._cuts(histories):
            neighbours = self._neighbours(histories.part(first, last))
            scores[first:last] = (neighbours @ self.sessions).toarray()
            first = last
        return scores

    def _cuts(self, histories: Histories) -> list[int]:
        entries = histories.entries()
        pairs = np.bincount(
            entries.rows,
            np.diff(self.starts)[entries.items],
            minlength=len(histories),
        )
        filled = np.cumsum(pairs) // _PAIRS_AT_ONCE
        return [*(np.flatnonzero(np.diff(filled)) + 1).tolist(), len(histories)]

    def _neighbours(self, histories: Histories) -> "csr_array":
        """Histories x sessions: how much each of the nearest sessions counts."""
        entries = histories.entries()
        weights = 1 - entries.lags / histories.lengths[entries.rows]
        counts = np.diff(self.starts)[entries.items]
        pair = np.repeat(np.arange(len(counts)), counts)
        session = self.recent[self.starts[entries.items[pair]] + places_within(counts)]
        row, weight = entries.rows[pair], weights[pair]
        session_count = self.sessions.shape[0]
        keys, owner = np.unique(row * session_count + session, return_inverse=True)
        likeness = np.bincount(owner, weight, len(keys)).astype(np.float64)
        latest = np.zeros(len(keys))
        np.maximum.at(latest, owner, weight)
        rows, sessions = np.divmod(keys, session_count)
        likeness /= self.norms[sessions]
        shape = (len(histories), session_count)
        nearest = strongest(
            sparse(rows, sessions, likeness.astype(np.float32), shape), NEIGHBOUR_COUNT
        )
        nearest.data *= sparse(rows, sessions, latest.astype(np.float32), shape)[
            np.repeat(np.arange(shape[0]), np.diff(nearest.indptr)), nearest.indices
        ]
        return nearest


def fit_session_knn(train: Interactions, fitting: Fitting) -> SessionNeighbours:
    matrix = interaction_matrix(train)
    lengths = np.maximum(np.diff(matrix.indptr), 1)
    distinct = train.first_of_each_pair()
    of_items = distinct.item_counts()
    counts = np.maximum(of_items, 1)
    rarity = np.log(1 + train.owner_count / counts).astype(np.float32)
    matrix.data = rarity[matrix.indices]
    order = np.lexsort((-distinct.ends()[distinct.owners], distinct.items))
    kept = order[places_within(of_items) < RECENT_COUNT]
    return SessionNeighbours(
        sessions=matrix,
        norms=np.sqrt(lengths).astype(np.float32),
        recent=distinct.owners[kept].astype(np.int64),
        starts=np.searchsorted(
            distinct.items[kept], np.arange(train.item_count + 1), side="left"
        ),
    )

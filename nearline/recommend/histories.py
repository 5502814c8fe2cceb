"""Histories: what somebody took, oldest first, as a model is asked about it.

A history is a stretch of one long array, so that the many beginnings of a session cost
no copies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.interactions import Interactions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Scores

# Scores held at once, 64 MB: histories are scored in batches, since histories x items
# would not fit into memory.
SCORES_AT_ONCE = 16_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Histories:
    """History n is `items[starts[n]:ends[n]]`; `owners[n]` is whose, where that is known.

    An owner's code is that of the training data. A history may be empty.
    """

    items: "Codes"
    starts: "NDArray[np.int64]"
    ends: "NDArray[np.int64]"
    owners: "Codes | None" = None

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> "NDArray[np.int64]":
        return self.ends - self.starts

    def take(self, chosen: "NDArray[np.integer] | slice") -> "Histories":
        return replace(
            self,
            starts=self.starts[chosen],
            ends=self.ends[chosen],
            owners=None if self.owners is None else self.owners[chosen],
        )

    def part(self, first: int, last: int) -> "Histories":
        return self.take(slice(first, last))

    def latest(self, count: int) -> "Histories":
        """The last `count` items of each."""
        return replace(self, starts=np.maximum(self.starts, self.ends - count))

    def entries(self) -> "Entries":
        """Every item of every history, in order."""
        if len(self) == 1:
            items = self.items[self.starts[0] : self.ends[0]]
            places = np.arange(len(items))
            return Entries(np.zeros_like(places), items, places[::-1])
        lengths = self.lengths
        rows = np.repeat(np.arange(len(self)), lengths)
        places = places_within(lengths)
        return Entries(
            rows=rows,
            items=self.items[self.starts[rows] + places],
            lags=lengths[rows] - 1 - places,
        )

    def matrix(self, item_count: int) -> "csr_array":
        """Histories x items, 1 where an item occurs, float32."""
        entries = self.entries()
        matrix = sparse(
            entries.rows,
            entries.items,
            np.ones(len(entries.rows), dtype=np.float32),
            (len(self), item_count),
        )
        matrix.data[:] = 1
        return matrix


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Histories laid flat: `rows` says whose, `lags` how many items came after."""

    rows: "NDArray[np.int64]"
    items: "Codes"
    lags: "NDArray[np.int64]"


def batches(histories: Histories, item_count: int) -> Iterator[Histories]:
    """Parts that are scored at once, in order."""
    size = max(1, SCORES_AT_ONCE // max(item_count, 1))
    for first in range(0, len(histories), size):
        yield histories.part(first, first + size)


def histories_of(interactions: Interactions, owners: "Codes") -> Histories:
    """The histories of `owners`, from interactions sorted as `Interactions` are."""
    return Histories(
        items=interactions.items,
        starts=np.searchsorted(interactions.owners, owners, side="left"),
        ends=np.searchsorted(interactions.owners, owners, side="right"),
        owners=owners,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """What is asked: after history n comes `targets[n]`, in session `sessions[n]`."""

    histories: Histories
    targets: "Codes"
    sessions: "Codes"

    def take(self, chosen: "NDArray[np.integer]") -> "Positions":
        return Positions(
            self.histories.take(chosen), self.targets[chosen], self.sessions[chosen]
        )


def next_items(sessions: Interactions) -> Positions:
    """Every item but each session's first, with the items before it."""
    owners = sessions.owners
    places = np.flatnonzero(owners[1:] == owners[:-1]) + 1
    starts = np.searchsorted(owners, owners[places], side="left")
    return Positions(
        histories=Histories(sessions.items, starts, places),
        targets=sessions.items[places],
        sessions=owners[places],
    )


def weighted_matrix(histories: Histories, item_count: int, decay: float) -> "csr_array":
    """Histories x items, decay ** lag at an item's latest place in the history."""
    if decay == 1.0:
        return histories.matrix(item_count)
    entries = histories.entries()
    keys = entries.rows * item_count + entries.items
    # Reversed, the first of each key is the latest.
    _, latest = np.unique(keys[::-1], return_index=True)
    chosen = len(keys) - 1 - latest
    weights = np.power(decay, entries.lags[chosen]).astype(np.float32)
    return sparse(
        entries.rows[chosen],
        entries.items[chosen],
        weights,
        (len(histories), item_count),
    )


def weigh_rows(histories: Histories, matrix: "csr_array", decay: float) -> "Scores":
    """Histories x columns: the sum of the rows of a history's items, each weighed as in
    `weighted_matrix`."""
    if len(histories) != 1:
        weights = weighted_matrix(histories, matrix.shape[0], decay)
        summed: Scores = (weights @ matrix).toarray()
        return summed
    # What every request asks for; the way over matrices takes several times as long.
    taken = histories.entries().items
    items, lags = np.unique(taken[::-1], return_index=True)
    starts = matrix.indptr[items]
    lengths = matrix.indptr[items + 1] - starts
    places = np.repeat(starts, lengths) + places_within(lengths)
    values = matrix.data[places] * np.repeat(np.power(decay, lags), lengths)
    width = matrix.shape[1]
    row = np.bincount(matrix.indices[places], values, minlength=width)
    return row.astype(np.float32)[None, :]


def interaction_matrix(interactions: Interactions) -> "csr_array":
    """Owners x items, 1 where there is an interaction, float32."""
    owners = np.arange(interactions.owner_count, dtype=np.int32)
    return histories_of(interactions, owners).matrix(interactions.item_count)


def places_within(counts: "NDArray[np.integer]") -> "NDArray[np.int64]":
    """0, 1, 2, … within each of the groups, laid one behind the other."""
    starts = np.cumsum(counts) - counts
    places: NDArray[np.int64] = np.arange(counts.sum()) - np.repeat(starts, counts)
    return places


def sparse(
    rows: "NDArray[np.integer]",
    columns: "NDArray[np.integer]",
    values: "NDArray[np.float32]",
    shape: tuple[int, int],
) -> "csr_array":
    """A sparse matrix; values at one place are added up."""
    from scipy.sparse import coo_array

    return coo_array((values, (rows, columns)), shape=shape).tocsr()


def strongest(matrix: "csr_array", count: int) -> "csr_array":
    """The `count` largest positive entries of each row; of equal ones any."""
    from scipy.sparse import csr_array

    matrix.eliminate_zeros()
    lengths = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(matrix.shape[0]), lengths)
    kept = np.lexsort((-matrix.data, rows))[places_within(lengths) < count]
    return csr_array(
        (matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape
    )

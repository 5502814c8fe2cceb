"""Cold start: somebody of whom nothing is known, an item that nobody has taken yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.recommend.histories import strongest
from nearline.recommend.models.content import attribute_entries, unit_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes

LIKE_COUNT = 20


def scores_for_strangers(
    trending: "NDArray[np.float32]", popularity: "NDArray[np.float32]"
) -> "NDArray[np.float32]":
    """One score per item, 0 to 2: what trends first, then what is popular.

    An item that trends not at all (0) stands behind every one that does.
    """
    return np.where(
        trending > 0, 1 + _up_to_one(trending), _up_to_one(popularity)
    ).astype(np.float32)


def _up_to_one(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """From 0 to less than 1, in the same order; nothing where there is nothing."""
    highest = values.max(initial=0)
    return values / (highest * np.float32(1.001)) if highest > 0 else values * 0


def attribute_matrix(attributes: Sequence["Codes"]) -> "csr_array":
    """Items x attribute values, each row of length 1 or empty.

    Args:
        attributes: one array of codes per attribute (category, brand, price band), each
            with one code per item, -1 where unknown.
    """
    rows, columns, values, width = attribute_entries(
        [(codes, 1.0) for codes in attributes]
    )
    return unit_rows(rows, columns, values, (len(attributes[0]), width))


def scores_with_new_items(
    scores: "NDArray[np.float32]", attributes: "csr_array", is_new: "NDArray[np.bool_]"
) -> "NDArray[np.float32]":
    """Scores (rows x items) in which new items have what items like them have.

    A new item takes the mean score of the `LIKE_COUNT` known items whose attributes are
    nearest, weighed by their cosine; one without attributes, or like no known item, has
    the lowest score of its row.
    """
    return find_likeness(attributes, is_new).fill(scores)


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Which known items a new one is like, found once and asked often.

    `shares` is new x known items, of each row 1 in all, or nothing where it `is_like_none`;
    `new` and `known` are their codes.
    """

    new: "NDArray[np.integer]"
    known: "NDArray[np.integer]"
    shares: "csr_array"
    is_like_none: "NDArray[np.bool_]"

    def fill(self, scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """A copy of scores (rows x items) with those of new items filled in."""
        filled = scores.copy()
        filled[:, self.new] = self.scores_of_new(scores)
        return filled

    def scores_of_new(self, scores: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Rows x new items, from scores of rows x items; 0 where no item is known."""
        if not len(self.new) or not len(self.known):
            return np.zeros((len(scores), len(self.new)), dtype=np.float32)
        of_known = scores[:, self.known]
        borrowed: NDArray[np.float32] = (self.shares @ of_known.T).T
        lowest = of_known.min(axis=1, keepdims=True)
        return np.where(self.is_like_none, lowest, borrowed)


def find_likeness(attributes: "csr_array", is_new: "NDArray[np.bool_]") -> Likeness:
    """The `LIKE_COUNT` known items nearest to each new one, by the attributes' cosine."""
    new, known = np.flatnonzero(is_new), np.flatnonzero(~is_new)
    alike = (attributes[new] @ attributes[known].T).tocsr()
    shares = strongest(alike, LIKE_COUNT)
    total = np.asarray(shares.sum(axis=1), dtype=np.float32)
    shares.data /= np.repeat(total, np.diff(shares.indptr))
    return Likeness(new, known, shares, total == 0)

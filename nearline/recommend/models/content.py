"""`content`: items like those of the history, by category, brand, price band and title.

It needs nobody else's behaviour, so it knows an item from its first moment on; and it
finds nothing but more of the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.attributes import ItemAttributes
from nearline.recommend.histories import Histories, sparse, weigh_rows
from nearline.recommend.interactions import Interactions
from nearline.recommend.models.protocol import Fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from nearline.recommend.interactions import Codes
    from nearline.recommend.models.protocol import Scores

# How much each attribute says of likeness: squares of the weights are shares of it where
# all four are known, so an item of the same category alone is alike by two fifths.
CATEGORY_WEIGHT = 1.0
BRAND_WEIGHT = 0.6
PRICE_WEIGHT = 0.5
TITLE_WEIGHT = 0.9

_WORD = re.compile(r"\w{2,}")

DECAY = 0.9
"""How much less an item says of a taste with each item that came after it."""


@dataclass(frozen=True, slots=True, eq=False)
class ContentLikeness:
    """`features` is items x features, rows of length 1 or empty."""

    features: "csr_array"

    def score(self, histories: Histories) -> "Scores":
        # Dense profiles: the transpose of the features would be sorted anew each time.
        profiles = weigh_rows(histories, self.features, DECAY)
        scores: Scores = (self.features @ profiles.T).T
        return np.ascontiguousarray(scores)


def fit_content(train: Interactions, fitting: Fitting) -> ContentLikeness:
    """Nothing is learnt of `train`.

    Raises:
        InputError: nothing is known of items.
    """
    if fitting.attributes is None:
        raise InputError(
            "model content needs a column category, brand, price or title; there is none"
        )
    return ContentLikeness(attribute_features(fitting.attributes))


def attribute_features(
    attributes: ItemAttributes, *, with_category: bool = True
) -> "csr_array":
    """Items x features, each row of length 1, or empty where nothing is known.

    Category, brand and price band are one feature each; a title is its words, weighted by
    how rare they are (TF-IDF, of length 1 before its own weight).
    """
    blocks = [
        (attributes.brands, BRAND_WEIGHT),
        (attributes.price_bands, PRICE_WEIGHT),
    ]
    if with_category:
        blocks.append((attributes.categories, CATEGORY_WEIGHT))
    rows, columns, values, width = attribute_entries(blocks)
    word_rows, words, weights, word_count = _title_words(attributes.titles)
    return unit_rows(
        np.concatenate([rows, word_rows]),
        np.concatenate([columns, words + width]),
        np.concatenate([values, TITLE_WEIGHT * weights]),
        (len(attributes), width + word_count),
    )


def attribute_entries(
    blocks: "Sequence[tuple[Codes, float]]",
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int]":
    """Item, feature and weight of each attribute that is known; and how many features.

    Args:
        blocks: of each attribute its codes by item, -1 where unknown, and its weight.
    """
    rows, columns, values, width = [], [], [], 0
    for codes, weight in blocks:
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        columns.append(codes[known].astype(np.int64) + width)
        values.append(np.full(len(known), weight))
        width += int(codes.max(initial=-1)) + 1
    return np.concatenate(rows), np.concatenate(columns), np.concatenate(values), width


def unit_rows(
    rows: "NDArray[np.integer]",
    columns: "NDArray[np.integer]",
    values: "NDArray[np.float64]",
    shape: tuple[int, int],
) -> "csr_array":
    """A matrix whose rows are of length 1 or empty; it has at least one column."""
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=shape[0]))
    scaled = (values / lengths[rows]).astype(np.float32)
    return sparse(rows, columns, scaled, (shape[0], max(shape[1], 1)))


def _title_words(
    titles: Sequence[str],
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], int]":
    """Title, word and TF-IDF of each word of each title; and how many words there are."""
    counted = [Counter(_WORD.findall(title.lower())) for title in titles]
    codes: dict[str, int] = {}
    entries = [
        (row, codes.setdefault(word, len(codes)), count)
        for row, words in enumerate(counted)
        for word, count in words.items()
    ]
    if not entries:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0), 0
    table = np.array(entries, dtype=np.int64)
    rows, words = table[:, 0], table[:, 1]
    frequency = np.bincount(words)
    values = table[:, 2] * np.log((1 + len(titles)) / frequency[words])
    lengths = np.sqrt(np.bincount(rows, values**2, minlength=len(titles)))
    return rows, words, values / lengths[rows], len(codes)

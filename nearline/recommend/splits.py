"""Training and test: three ways of cutting one table of distinct interactions in two.

Each takes what `Interactions.first_of_each_pair` gives: an item that somebody comes back
to was seen before, and is no discovery to be predicted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nearline.errors import InputError
from nearline.recommend.histories import Histories, histories_of, places_within
from nearline.recommend.interactions import Interactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nearline.recommend.interactions import Codes


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Two parts of one table, with the codes of the whole."""

    train: Interactions
    test: Interactions


def split_random_per_user(whole: Interactions, test_share: float, seed: int) -> Split:
    """Of each user `test_share` of the items, rounded, at random.

    A user with two items or more has at least one on either side; a single item stays in
    training.
    """
    counts = np.bincount(whole.owners, minlength=whole.owner_count)
    test_counts = np.clip(np.rint(counts * test_share), 1, np.maximum(counts - 1, 1))
    test_counts[counts < 2] = 0
    draw = np.random.default_rng(seed).random(len(whole))
    order = np.lexsort((draw, whole.owners))
    place = np.empty(len(whole), dtype=np.int64)
    place[order] = places_within(counts)
    return _cut(whole, place < test_counts[whole.owners])


def split_leave_one_out(whole: Interactions, test_share: float, seed: int) -> Split:
    """Of each user with two items or more the latest; no share, no chance."""
    counts = np.bincount(whole.owners, minlength=whole.owner_count)
    is_last = np.append(whole.owners[1:] != whole.owners[:-1], True)
    return _cut(whole, is_last & (counts[whole.owners] > 1))


def split_temporal(whole: Interactions, test_share: float, seed: int) -> Split:
    """Everybody's interactions from one moment on, the latest `test_share` of them.

    What happened at the moment itself is all on the side of the test. The only split in
    which no model has seen the future.
    """
    cut = np.quantile(whole.times, 1 - test_share, method="higher")
    return _cut(whole, whole.times >= cut)


SPLITS: Mapping[str, Callable[[Interactions, float, int], Split]] = {
    "random-per-user": split_random_per_user,
    "leave-one-out": split_leave_one_out,
    "temporal": split_temporal,
}


def split_by(name: str, whole: Interactions, test_share: float, seed: int) -> Split:
    """The split called `name`.

    Raises:
        InputError: there is none, or the share does not lie between 0 and 1.
    """
    if name not in SPLITS:
        raise InputError(f"unknown split {name!r}; known are {', '.join(SPLITS)}")
    if not 0 < test_share < 1:
        raise InputError("the test share must lie between 0 and 1, such as 0.25")
    return SPLITS[name](whole, test_share, seed)


@dataclass(frozen=True, slots=True, eq=False)
class Hidden:
    """Histories in training, and what the test has of them.

    `items[n]` is hidden of history `rows[n]`.
    """

    histories: Histories
    rows: "NDArray[np.integer]"
    items: "Codes"


def hidden_of(split: Split, owners: "Codes") -> Hidden:
    """What is known and what is hidden of `owners`: codes, ascending, each once."""
    is_theirs = np.isin(split.test.owners, owners)
    return Hidden(
        histories=histories_of(split.train, owners),
        rows=np.searchsorted(owners, split.test.owners[is_theirs]),
        items=split.test.items[is_theirs],
    )


def _cut(
    whole: Interactions, is_test: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> Split:
    return Split(whole.take(~is_test), whole.take(is_test))

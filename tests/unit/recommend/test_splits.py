"""Cuts: who ends up where, and that nothing is lost or doubled."""

import numpy as np
import pytest

from nearline.errors import InputError
from nearline.recommend.interactions import Interactions
from nearline.recommend.splits import SPLITS, Split, split_by
from tests.unit.recommend.interaction_tables import (
    interactions,
    random_interactions,
    sequences,
)


def pairs(part: Interactions) -> set[tuple[int, int]]:
    return set(zip(part.owners.tolist(), part.items.tolist(), strict=True))


def cut(name: str, whole: Interactions, share: float = 0.25, seed: int = 1) -> Split:
    return split_by(name, whole, share, seed)


@pytest.mark.parametrize("name", list(SPLITS))
def test_every_interaction_is_on_exactly_one_side(name: str) -> None:
    whole = random_interactions(30, 20, 300, seed=2).first_of_each_pair()
    split = cut(name, whole)
    assert pairs(split.train) | pairs(split.test) == pairs(whole)
    assert not pairs(split.train) & pairs(split.test)
    assert len(split.test) > 0


def test_a_random_split_takes_its_share_of_each_user_and_leaves_one() -> None:
    whole = sequences(range(8), range(2), [5], range(3))
    test = cut("random-per-user", whole).test
    assert np.bincount(test.owners, minlength=4).tolist() == [2, 1, 0, 1]
    most = cut("random-per-user", whole, share=0.99).test
    assert np.bincount(most.owners, minlength=4).tolist() == [7, 1, 0, 2]


def test_a_seed_repeats_a_random_split_and_another_changes_it() -> None:
    whole = sequences(range(40), range(40))
    first = pairs(cut("random-per-user", whole, seed=1).test)
    assert first == pairs(cut("random-per-user", whole, seed=1).test)
    assert first != pairs(cut("random-per-user", whole, seed=2).test)


def test_a_random_split_does_not_prefer_a_place_in_the_history() -> None:
    whole = sequences(*[range(4)] * 400)
    taken = np.bincount(cut("random-per-user", whole).test.items)
    # 100 each; four standard deviations are 35.
    assert taken.min() > 65


def test_leave_one_out_takes_the_latest_of_each() -> None:
    whole = sequences([3, 1, 2], [0], [2, 0])
    assert pairs(cut("leave-one-out", whole).test) == {(0, 2), (2, 0)}


def test_a_temporal_split_cuts_everybody_at_one_moment() -> None:
    earlier = [(0, 0, 1), (1, 2, 2), (1, 3, 3), (2, 1, 4), (3, 1, 5), (3, 0, 6)]
    whole = interactions([*earlier, (0, 1, 8), (2, 0, 9)])
    split = cut("temporal", whole)
    assert split.train.times.max() < split.test.times.min()
    assert pairs(split.test) == {(0, 1), (2, 0)}


def test_a_temporal_split_keeps_one_moment_on_one_side() -> None:
    whole = interactions([(0, 0, 1), (0, 1, 7), (1, 0, 7), (1, 2, 7), (2, 0, 1)])
    assert cut("temporal", whole).train.times.tolist() == [1, 1]


@pytest.mark.parametrize("share", [-0.1, 0, 1, 1.5, float("nan")])
def test_a_share_outside_0_and_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="must lie between 0 and 1"):
        cut("temporal", sequences([0, 1]), share)


def test_an_unknown_split_names_the_known() -> None:
    with pytest.raises(InputError, match="random-per-user, leave-one-out, temporal"):
        cut("weekly", sequences([0, 1]))

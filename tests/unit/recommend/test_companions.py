"""What goes with what, by hand."""

from math import sqrt

import numpy as np
import pytest

from nearline.recommend.companions import find_companions
from nearline.recommend.ranking import NOTHING
from tests.unit.recommend.interaction_tables import interactions, sequences


def test_a_pair_counts_half_as_much_a_half_life_ago() -> None:
    # 0 with 1 now, 0 with 2 a half-life ago.
    taken = interactions([(0, 0, 100), (0, 1, 100), (1, 0, 90), (1, 2, 90)])
    found = find_companions(taken, now=100, half_life=10, count=2)
    assert found.items.tolist() == [[1, 2], [0, NOTHING], [0, NOTHING]]
    # Own counts: 0 has 1.5, 1 has 1, 2 has 0.5; shrinkage 1.
    assert found.scores[0] == pytest.approx(
        [1 / (sqrt(1.5) + 1), 0.5 / (sqrt(1.5 * 0.5) + 1)]
    )
    assert found.scores[1, 1] == 0


def test_accessories_are_of_another_known_category() -> None:
    taken = sequences([0, 1, 2, 3])
    categories = np.array([7, 7, 8, -1], dtype=np.int32)
    found = find_companions(taken, now=9, half_life=1e9, count=3, categories=categories)
    assert found.items.tolist() == [
        [2, NOTHING, NOTHING],
        [2, NOTHING, NOTHING],
        [0, 1, NOTHING],
        [NOTHING] * 3,
    ]


def test_coming_back_to_an_item_counts_once_and_the_future_is_now() -> None:
    once = find_companions(sequences([0, 1]), now=0, half_life=1, count=1)
    often = find_companions(sequences([0, 1, 0, 1]), now=0, half_life=1, count=1)
    assert once.scores.tolist() == often.scores.tolist() == [[0.5], [0.5]]


def test_nobody_took_two_items_and_nothing_goes_with_anything() -> None:
    found = find_companions(sequences([0], [1]), now=0, half_life=1, count=2)
    assert found.items.tolist() == [[NOTHING] * 2] * 2

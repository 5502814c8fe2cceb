"""Exploration: the odds that are stated are those that things are shown with."""

import numpy as np
import pytest

from nearline.errors import InputError
from nearline.recommend.exploration import explore


@pytest.mark.parametrize(
    ("candidate_count", "k", "share"),
    [(12, 4, 0.3), (5, 4, 0.6), (4, 4, 0.5), (9, 3, 1)],
)
def test_items_are_shown_as_often_as_the_odds_say(
    candidate_count: int, k: int, share: float
) -> None:
    rng = np.random.default_rng(1)
    ranked = np.arange(100, 100 + candidate_count, dtype=np.int32)
    draws = 2000
    shown = np.zeros(candidate_count)
    at_place = np.zeros((k, candidate_count))
    for _ in range(draws):
        found = explore(ranked, k, share, rng)
        assert len(set(found.items.tolist())) == k
        shown[found.items - 100] += 1
        at_place[np.arange(k), found.items - 100] += 1
    # Five standard deviations of a share of 2,000 draws.
    assert shown / draws == pytest.approx(found.candidate_odds, abs=0.055)
    assert found.candidate_odds.sum() == pytest.approx(k)
    stated = {
        (place, item - 100): odds
        for place, (item, odds) in enumerate(
            zip(found.items.tolist(), found.place_odds.tolist(), strict=True)
        )
    }
    for (place, item), odds in stated.items():
        assert at_place[place, item] / draws == pytest.approx(odds, abs=0.055)
    assert found.odds == pytest.approx(found.candidate_odds[found.items - 100])


def test_without_exploration_the_best_are_certain() -> None:
    found = explore(np.array([5, 3, 9], np.int32), 2, 0, np.random.default_rng(1))
    assert found.items.tolist() == [5, 3]
    assert found.odds.tolist() == found.place_odds.tolist() == [1, 1]
    assert not found.is_explored.any()


def test_what_is_explored_is_marked_and_lies_beyond_the_best() -> None:
    found = explore(np.arange(50, dtype=np.int32), 10, 0.5, np.random.default_rng(2))
    assert found.is_explored.any()
    assert (found.items[found.is_explored] >= 10).all()
    assert (
        found.items[~found.is_explored].tolist()
        == np.flatnonzero(~found.is_explored).tolist()
    )


def test_fewer_candidates_than_places_are_all_shown() -> None:
    found = explore(np.array([4], np.int32), 3, 0.5, np.random.default_rng(1))
    assert (found.items.tolist(), found.odds.tolist()) == ([4], [1])
    nothing = explore(np.array([], np.int32), 3, 0.5, np.random.default_rng(1))
    assert nothing.items.tolist() == []


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        explore(np.array([1], np.int32), 1, share, np.random.default_rng(1))

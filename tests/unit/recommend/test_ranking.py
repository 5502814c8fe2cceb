"""Lists and places: ties in a stated order, -inf and NaN never listed."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nearline.recommend.histories import Histories
from nearline.recommend.ranking import (
    NOTHING,
    ranks_of,
    tie_order,
    top_items,
    without_seen,
)

ORDER = np.array([2, 0, 3, 1], dtype=np.int32)


def listed(scores: list[float], k: int) -> list[int]:
    row = np.array([scores], dtype=np.float32)
    items: list[int] = top_items(row, k, ORDER)[0].tolist()
    return items


def test_the_best_come_first() -> None:
    assert listed([0.1, 0.9, 0.5, 0.7], 3) == [1, 3, 2]


def test_equal_scores_stand_in_the_tie_order_also_at_the_edge() -> None:
    assert listed([1, 1, 1, 1], 4) == [2, 0, 3, 1]
    assert listed([1, 1, 1, 1], 2) == [2, 0]
    assert listed([1, 5, 1, 1], 3) == [1, 2, 0]


def test_what_is_not_to_be_listed_leaves_places_empty() -> None:
    nothing, nan = -np.inf, np.nan
    assert listed([nothing, 1, nan, 2], 4) == [3, 1, NOTHING, NOTHING]
    assert listed([nothing] * 4, 2) == [NOTHING, NOTHING]


def test_a_list_longer_than_the_catalogue_is_filled_up() -> None:
    assert listed([1, 2, 3, 4], 6) == [3, 2, 1, 0, NOTHING, NOTHING]


@given(
    st.lists(
        st.lists(
            st.sampled_from([0.0, 1.0, 2.0, -np.inf, np.nan]), min_size=7, max_size=7
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_lists_equal_a_plain_sort_and_places_equal_the_lists(
    rows: list[list[float]], k: int, seed: int
) -> None:
    scores = np.array(rows, dtype=np.float32)
    order = tie_order(7, seed)
    place = {int(item): n for n, item in enumerate(order)}
    lists = top_items(scores, k, order)
    for row, items in zip(rows, lists.tolist(), strict=True):
        able = [i for i in range(7) if row[i] > -np.inf]
        expected = sorted(able, key=lambda i: (-row[i], place[i]))[:k]
        assert items == expected + [NOTHING] * (k - len(expected))
    full = top_items(scores, 7, order)
    for item in range(7):
        items = np.full(len(rows), item, dtype=np.int32)
        for row, rank in zip(
            full.tolist(), ranks_of(scores, items, order), strict=True
        ):
            assert rank == (row.index(item) + 1 if item in row else np.inf)


def test_seen_items_are_never_listed() -> None:
    histories = Histories(
        items=np.array([1, 3, 0], dtype=np.int32),
        starts=np.array([0, 2]),
        ends=np.array([2, 3]),
    )
    lists = top_items(without_seen(np.ones((2, 4), np.float32), histories), 4, ORDER)
    assert lists.tolist() == [[2, 0, NOTHING, NOTHING], [2, 3, 1, NOTHING]]

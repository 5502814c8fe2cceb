"""Nobody is known, nobody has taken it: still something sensible."""

import numpy as np
import pytest

from nearline.recommend.cold_start import (
    attribute_matrix,
    scores_for_strangers,
    scores_with_new_items,
)


def numbers(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_strangers_get_what_trends_then_what_is_popular() -> None:
    scores = scores_for_strangers(numbers(0, 1, 4, 0), numbers(90, 5, 9, 100))
    assert np.argsort(-scores).tolist() == [2, 1, 3, 0]


def test_where_nothing_trends_strangers_get_what_is_popular() -> None:
    scores = scores_for_strangers(numbers(0, 0), numbers(1, 2))
    assert np.argsort(-scores).tolist() == [1, 0]
    assert scores_for_strangers(numbers(0, 0), numbers(0, 0)).tolist() == [0, 0]


CATEGORIES = np.array([0, 0, 1, 0, -1], dtype=np.int32)
BRANDS = np.array([0, 1, 2, 0, -1], dtype=np.int32)


def test_attributes_are_rows_of_length_one_or_empty() -> None:
    matrix = attribute_matrix([CATEGORIES, BRANDS])
    assert matrix.shape == (5, 5)
    lengths = np.sqrt((matrix.toarray() ** 2).sum(axis=1))
    assert lengths == pytest.approx([1, 1, 1, 1, 0])


def test_a_new_item_has_the_score_of_items_like_it() -> None:
    # Item 3 is new: like item 0 in both attributes (cosine 1), like 1 in one (0.5).
    scores = np.array([[8, 2, 100, 0, 1], [0, 6, 100, 0, 1]], dtype=np.float32)
    is_new = np.array([False, False, False, True, False])
    filled = scores_with_new_items(
        scores, attribute_matrix([CATEGORIES, BRANDS]), is_new
    )
    assert filled[:, 3] == pytest.approx([(8 + 0.5 * 2) / 1.5, 0.5 * 6 / 1.5])
    assert filled[:, [0, 1, 2, 4]].tolist() == scores[:, [0, 1, 2, 4]].tolist()


def test_a_new_item_without_attributes_comes_last() -> None:
    scores = numbers(3, 2, 1, 9, 9)[None, :]
    is_new = np.array([False, False, False, False, True])
    filled = scores_with_new_items(
        scores, attribute_matrix([CATEGORIES, BRANDS]), is_new
    )
    assert filled[0, 4] == 1


def test_nothing_new_changes_nothing_and_all_new_is_all_alike() -> None:
    attributes = attribute_matrix([CATEGORIES])
    scores = numbers(3, 2, 1, 0, 5)[None, :]
    none, every = np.zeros(5, dtype=bool), np.ones(5, dtype=bool)
    assert scores_with_new_items(scores, attributes, none).tolist() == scores.tolist()
    assert scores_with_new_items(scores, attributes, every).tolist() == [[0] * 5]

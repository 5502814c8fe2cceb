"""What may be shown at all."""

import numpy as np

from nearline.recommend.ranking import NOTHING
from nearline.recommend.rules import apply_rules, cap_per_group, eligible_items


def codes(*items: int) -> np.ndarray:
    return np.array(items, dtype=np.int32)


def test_seen_bought_and_sold_out_items_are_not_eligible() -> None:
    in_stock = np.array([True, True, True, False, True])
    found = eligible_items(5, seen=codes(0), bought=codes(1, 1), in_stock=in_stock)
    assert found.tolist() == [False, False, True, False, True]


def test_rules_that_are_not_given_exclude_nothing() -> None:
    assert eligible_items(2).tolist() == [True, True]
    assert eligible_items(2, seen=codes()).tolist() == [True, True]


def test_what_is_not_eligible_or_has_no_score_is_never_best() -> None:
    scores = np.array([3, np.nan, 1], dtype=np.float32)
    found = apply_rules(scores, np.array([False, True, True]))
    assert found.tolist() == [-np.inf, -np.inf, 1]
    assert apply_rules(scores, np.zeros(3, dtype=bool)).tolist() == [-np.inf] * 3


def test_a_brand_is_capped_in_the_order_of_the_ranking() -> None:
    brands = codes(0, 0, 1, 0, -1, -1, 1)
    ranked = codes(3, 4, 1, 2, 0, 5, 6, NOTHING)
    assert cap_per_group(ranked, brands, 1).tolist() == [3, 4, 2, 5]
    assert cap_per_group(ranked, brands, 2).tolist() == [3, 4, 1, 2, 5, 6]
    assert cap_per_group(codes(), brands, 1).tolist() == []

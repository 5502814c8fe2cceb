"""Measures against numbers worked out by hand, and against trec_eval."""

import math

import numpy as np
import pytest
import pytrec_eval

from nearline.recommend.histories import interaction_matrix
from nearline.recommend.measures import (
    ACCURACY,
    CategorySimilarity,
    Hits,
    cooccurrence_similarity,
    diversity,
    find_hits,
    novelty,
    popularity_share,
)
from nearline.recommend.ranking import NOTHING
from tests.unit.recommend.interaction_tables import random_interactions, sequences


def one_list(is_hit: list[bool], target_count: int) -> Hits:
    return Hits(np.array([is_hit]), np.array([target_count]))


# Hits at places 1 and 3 of five; the user has three test items.
TWO_OF_THREE = one_list([True, False, True, False, False], 3)
SECOND_PLACE_GAIN = 1 / math.log2(3)


@pytest.mark.parametrize(
    ("measure", "k", "value"),
    [
        ("precision", 5, 2 / 5),
        ("precision", 1, 1.0),
        ("precision", 20, 2 / 20),  # k, not the list's length
        ("recall", 5, 2 / 3),
        ("recall", 1, 1 / 3),  # R, not min(R, k)
        ("hr", 5, 1.0),
        ("map", 5, (1 + 2 / 3) / 3),
        ("map", 2, 1 / 2),  # min(R, k) = 2
        ("map", 1, 1.0),
        ("ndcg", 5, (1 + 1 / 2) / (1 + SECOND_PLACE_GAIN + 1 / 2)),
        ("ndcg", 2, 1 / (1 + SECOND_PLACE_GAIN)),
        ("ndcg", 1000, (1 + 1 / 2) / (1 + SECOND_PLACE_GAIN + 1 / 2)),
        ("mrr", 5, 1.0),
    ],
)
def test_a_measure_is_what_its_definition_says(
    measure: str, k: int, value: float
) -> None:
    assert ACCURACY[measure](TWO_OF_THREE, k) == pytest.approx([value])


def test_a_first_hit_in_third_place_has_a_reciprocal_rank_of_a_third() -> None:
    hits = one_list([False, False, True, True], 2)
    assert ACCURACY["mrr"](hits, 4) == pytest.approx([1 / 3])
    assert ACCURACY["mrr"](hits, 2) == pytest.approx([0])


@pytest.mark.parametrize("measure", list(ACCURACY))
def test_no_hit_is_zero_and_nothing_but_hits_is_one(measure: str) -> None:
    assert ACCURACY[measure](one_list([False] * 4, 2), 4) == pytest.approx([0])
    if measure != "recall":
        assert ACCURACY[measure](one_list([True] * 4, 9), 4) == pytest.approx([1])


def test_measures_equal_those_of_trec_eval() -> None:
    rng = np.random.default_rng(5)
    user_count, item_count, width, k = 200, 60, 20, 10
    lists = np.array([rng.permutation(item_count)[:width] for _ in range(user_count)])
    lists = lists.astype(np.int32)
    lists[3, 4:] = NOTHING
    targets = [
        rng.permutation(item_count)[: rng.integers(1, 26)] for _ in range(user_count)
    ]
    rows = np.repeat(np.arange(user_count), [len(t) for t in targets])
    hits = find_hits(lists, rows, np.concatenate(targets).astype(np.int32), item_count)
    relevant = {
        str(user): {str(item): 1 for item in items}
        for user, items in enumerate(targets)
    }
    run = {
        str(user): {
            str(item): float(-place)
            for place, item in enumerate(items[:k])
            if item != NOTHING
        }
        for user, items in enumerate(lists.tolist())
    }
    names = {
        "precision": f"P_{k}",
        "recall": f"recall_{k}",
        "hr": f"success_{k}",
        "map": f"map_cut_{k}",
        "ndcg": f"ndcg_cut_{k}",
        "mrr": "recip_rank",
    }
    theirs = pytrec_eval.RelevanceEvaluator(
        relevant, {"P", "recall", "success", "map_cut", "ndcg_cut", "recip_rank"}
    ).evaluate(run)
    for ours, name in names.items():
        expected = np.array([theirs[str(user)][name] for user in range(user_count)])
        if ours == "map":
            # Theirs divides by R, ours by min(R, k).
            expected *= hits.target_counts / np.minimum(hits.target_counts, k)
        np.testing.assert_allclose(ACCURACY[ours](hits, k), expected, atol=1e-9)


def test_novelty_is_the_mean_of_bits() -> None:
    # Items had by 4, 2 and 1 of 4 users: 0, 1 and 2 bits.
    lists = np.array([[0, 1], [1, 2], [2, NOTHING], [NOTHING, NOTHING]], dtype=np.int32)
    bits = novelty(lists, np.array([4, 2, 1]), 4)
    assert bits == pytest.approx([0.5, 1.5, 2, math.nan], nan_ok=True)


def test_popularity_share_is_that_of_the_most_popular_fifth() -> None:
    # Ten items are known, two of them the head; the eleventh is not in training.
    counts = np.array([1, 9, 1, 8, 1, 1, 1, 1, 1, 1, 0])
    lists = np.array([[1, 3, 0, 2], [0, 2, 4, 5], [3, NOTHING, NOTHING, NOTHING]])
    share = popularity_share(lists.astype(np.int32), counts)
    assert share == pytest.approx([0.5, 0, 1])


def test_diversity_by_category_is_the_share_of_pairs_that_differ() -> None:
    categories = np.array([0, 0, 1, -1, -1], dtype=np.int32)
    lists = np.array(
        [[0, 1, 2], [0, 1, NOTHING], [3, 4, NOTHING], [2, NOTHING, NOTHING]]
    )
    found = diversity(lists.astype(np.int32), CategorySimilarity(categories))
    assert found == pytest.approx([2 / 3, 0, 1, math.nan], nan_ok=True)


def test_diversity_by_cooccurrence_by_hand() -> None:
    # Both of the users who have item 1 have item 0, which a third has: 2 / sqrt(6).
    matrix = interaction_matrix(sequences([0, 1], [0, 1], [0, 2]))
    lists = np.array([[0, 1], [1, 2]], dtype=np.int32)
    found = diversity(lists, cooccurrence_similarity(lists, matrix))
    assert found == pytest.approx([1 - 2 / math.sqrt(6), 1])


def test_diversity_by_cooccurrence_equals_a_dense_computation() -> None:
    matrix = interaction_matrix(random_interactions(50, 30, 400, seed=3))
    dense = matrix.toarray()
    norms = np.linalg.norm(dense, axis=0)
    cosines = (dense.T @ dense) / np.maximum(np.outer(norms, norms), 1e-12)
    rng = np.random.default_rng(3)
    lists = np.array([rng.permutation(30)[:6] for _ in range(20)], dtype=np.int32)
    expected = [
        1 - np.mean([cosines[a, b] for a in items for b in items if a < b])
        for items in lists
    ]
    found = diversity(lists, cooccurrence_similarity(lists, matrix))
    assert found == pytest.approx(expected, abs=1e-5)

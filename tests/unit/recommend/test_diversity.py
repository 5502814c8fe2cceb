"""Lists that are good and not all alike."""

import numpy as np

from nearline.recommend.diversity import diversify

# Candidates 0 and 1 are twins, 2 is like neither.
SIMILARITY = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float64)
SCORES = np.array([1.0, 0.9, 0.5])


def test_with_relevance_alone_the_order_is_that_of_the_scores() -> None:
    assert diversify(SCORES, SIMILARITY, 3, 1.0).tolist() == [0, 1, 2]


def test_a_twin_of_what_is_chosen_waits() -> None:
    # After 0: twin 0.5 * 0.8 - 0.5 * 1 = -0.1, the other 0.5 * 0 - 0 = 0.
    assert diversify(SCORES, SIMILARITY, 2, 0.5).tolist() == [0, 2]
    assert diversify(SCORES, SIMILARITY, 3, 0.5).tolist() == [0, 2, 1]


def test_the_scale_of_the_scores_does_not_matter() -> None:
    for scale in (1e-6, 1e6):
        assert diversify(SCORES * scale - 3, SIMILARITY, 2, 0.5).tolist() == [0, 2]


def test_equal_scores_keep_their_order_and_odd_ones_are_never_chosen() -> None:
    apart = np.eye(4)
    assert diversify(np.ones(4), apart, 4, 0.5).tolist() == [0, 1, 2, 3]
    odd = np.array([np.nan, 1.0, -np.inf, 2.0])
    assert diversify(odd, apart, 4, 0.7).tolist() == [3, 1]
    assert diversify(np.array([]), np.zeros((0, 0)), 3, 0.7).tolist() == []

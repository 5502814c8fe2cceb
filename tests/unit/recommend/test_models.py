"""Models against plain computations of what their papers say, and on odd histories."""

from collections import Counter
from math import log, sqrt

import numpy as np
import pytest
from scipy.sparse import csr_array

from nearline.errors import InputError
from nearline.recommend.histories import (
    Histories,
    histories_of,
    interaction_matrix,
    next_items,
    weigh_rows,
    weighted_matrix,
)
from nearline.recommend.interactions import Interactions
from nearline.recommend.models import als, blend, ease
from nearline.recommend.models.item_knn import cosine_neighbours
from nearline.recommend.models.protocol import Fitting
from nearline.recommend.models.registry import (
    MODELS,
    models_for_sessions,
    models_for_users,
)
from tests.unit.recommend.interaction_tables import (
    interactions,
    random_interactions,
    sequences,
)

FITTING = Fitting(seed=3)
# What needs attributes is looked at by itself.
USER_MODELS = [name for name in models_for_users(["all"]) if name != "content"]
SESSION_MODELS = [name for name in models_for_sessions(["all"]) if name != "content"]


def history(*items: int) -> Histories:
    return Histories(
        np.array(items, dtype=np.int32), np.array([0]), np.array([len(items)])
    )


def user_scores(name: str, train: Interactions, *items: int) -> np.ndarray:
    model = models_for_users([name])[name](train, FITTING)
    return model.score(history(*items))[0]


def session_scores(name: str, train: Interactions, *items: int) -> np.ndarray:
    model = models_for_sessions([name])[name](train, FITTING)
    return model.score(history(*items))[0]


def test_popularity_counts() -> None:
    train = sequences([0, 1], [1, 2], [1], item_count=4)
    assert user_scores("popularity", train, 0).tolist() == [1, 3, 1, 0]


def test_trending_halves_with_a_tenth_of_the_datas_time() -> None:
    train = interactions([(0, 0, 0), (1, 1, 90), (2, 2, 100)])
    expected = [2**-10, 0.5, 1]
    assert user_scores("trending", train) == pytest.approx(expected)


def test_repeats_prefer_the_latest() -> None:
    train = sequences([0, 1, 2, 3])
    scores = session_scores("repeats", train, 0, 1, 0, 2)
    assert scores.tolist() == pytest.approx([0.8, 0.64, 1, 0])


def test_item_neighbours_are_cosines_with_shrinkage() -> None:
    # 0 and 1: two common owners, three and two of their own.
    matrix = interaction_matrix(sequences([0, 1], [0, 1], [0, 2]))
    found = cosine_neighbours(matrix, neighbour_count=1, shrinkage=4).toarray()
    close = 2 / (sqrt(6) + 4)
    expected = [[0, close, 0], [close, 0, 0], [1 / (sqrt(3) + 4), 0, 0]]
    assert found == pytest.approx(np.array(expected))


def test_a_session_weighs_an_item_by_its_latest_place() -> None:
    weights = weighted_matrix(history(2, 0, 2, 1), 4, 0.5).toarray()
    assert weights.tolist() == [[0.25, 1, 0.5, 0]]


def test_sequential_rules_count_one_over_the_distance_in_order() -> None:
    train = sequences([0, 1, 2], [0, 2], [2, 1])
    assert session_scores("sequential-rules", train, 0) == pytest.approx([0, 1, 1.5])
    # The item before the last counts 0.4 of it.
    found = session_scores("sequential-rules", train, 0, 2)
    assert found == pytest.approx([0, 1 + 0.4, 0.4 * 1.5])


def test_ease_equals_one_ridge_regression_per_item() -> None:
    train = random_interactions(60, 8, 200, seed=4)
    dense = interaction_matrix(train).toarray().astype(np.float64)
    penalty = 5.0
    weights = np.zeros((8, 8))
    for item in range(8):
        others = [other for other in range(8) if other != item]
        x, y = dense[:, others], dense[:, item]
        weights[others, item] = np.linalg.solve(x.T @ x + penalty * np.eye(7), x.T @ y)
    model = ease.fit_ease_on(train, 100, penalty)
    np.testing.assert_allclose(model.weights, weights, atol=1e-5)
    scores = model.score(history(1, 4))
    np.testing.assert_allclose(scores[0], weights[1] + weights[4], atol=1e-5)


def test_ease_on_fewer_items_scores_the_rest_zero() -> None:
    train = sequences([0, 1, 2], [0, 1], [0, 1, 3], item_count=5)
    scores = ease.fit_ease_on(train, 2, 1.0).score(history(0, 3))
    assert scores[0, 1] > 0
    assert scores[0, [2, 3, 4]].tolist() == [0, 0, 0]


def test_ease_refuses_too_many_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ease, "MOST_ITEMS", 3)
    with pytest.raises(InputError, match="at most 3 items, training holds 4"):
        ease.fit_ease(sequences([0, 1, 2, 3]), FITTING)


def test_als_solves_for_a_history_like_the_library() -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix

    train = random_interactions(40, 15, 300, seed=5)
    model = als.fit_als(train, FITTING)
    with als._one_blas_thread():
        library = AlternatingLeastSquares(
            factors=als.FACTOR_COUNT,
            regularization=als.REGULARIZATION,
            alpha=als.CONFIDENCE,
        )
    library.item_factors = model.item_factors
    matrix = interaction_matrix(train)
    theirs = library.recalculate_user(np.arange(40), csr_matrix(matrix))
    ours = model.score(histories_of(train, np.arange(40, dtype=np.int32)))
    np.testing.assert_allclose(
        ours, theirs @ model.item_factors.T, atol=1e-4, rtol=1e-3
    )


@pytest.mark.parametrize("name", USER_MODELS)
def test_a_model_learns_who_likes_what_unless_it_is_about_everybody(name: str) -> None:
    rng = np.random.default_rng(6)
    rows = [
        (user, int(2 * item + user % 2), float(place))
        for user in range(60)
        for place, item in enumerate(rng.permutation(12)[:7])
    ]
    train = interactions(rows)
    model = models_for_users([name])[name](train, FITTING)
    owners = np.arange(60, dtype=np.int32)
    scores = model.score(histories_of(train, owners))
    own = np.array([scores[user, user % 2 :: 2].mean() for user in owners])
    other = np.array([scores[user, 1 - user % 2 :: 2].mean() for user in owners])
    if name in ("popularity", "trending"):
        assert (scores == scores[0]).all()
    else:
        assert (own > other).mean() > 0.95


@pytest.mark.parametrize("name", USER_MODELS)
def test_one_history_has_the_scores_that_it_has_among_others(name: str) -> None:
    train = random_interactions(40, 25, 150, seed=8)
    model = models_for_users([name])[name](train, FITTING)
    among = histories_of(train, np.arange(40, dtype=np.int32))
    together = model.score(among)
    for row in range(len(among)):
        alone = model.score(among.part(row, row + 1))[0]
        np.testing.assert_allclose(alone, together[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", USER_MODELS)
def test_a_seed_repeats_a_model(name: str) -> None:
    train = random_interactions(30, 20, 300, seed=7).first_of_each_pair()
    fit = models_for_users([name])[name]
    asked = histories_of(train, np.arange(30, dtype=np.int32))
    first, again = fit(train, FITTING).score(asked), fit(train, FITTING).score(asked)
    np.testing.assert_allclose(first, again, rtol=1e-5, atol=1e-6)


def session_knn_by_loops(
    train: list[list[int]], asked: list[int], neighbour_count: int
) -> Counter[int]:
    """V-SkNN as the module states it, one session at a time."""
    owners = Counter(item for session in train for item in set(session))
    weights: dict[int, float] = {}
    total: dict[int, float] = {}
    for place, item in enumerate(asked):
        weight = 1 - (len(asked) - 1 - place) / len(asked)
        total[item] = total.get(item, 0) + weight
        weights[item] = weight
    likeness = {}
    for number, session in enumerate(train):
        shared = set(session) & set(asked)
        if shared:
            near = sum(total[item] for item in shared) / sqrt(len(set(session)))
            likeness[number] = (near, max(weights[item] for item in shared))
    nearest = sorted(likeness, key=lambda n: -likeness[n][0])[:neighbour_count]
    scores: Counter[int] = Counter()
    for number in nearest:
        near, latest = likeness[number]
        for item in set(train[number]):
            scores[item] += near * latest * log(1 + len(train) / owners[item])
    return scores


@pytest.mark.parametrize("neighbour_count", [3, 200])
def test_session_neighbours_equal_plain_loops(
    monkeypatch: pytest.MonkeyPatch, neighbour_count: int
) -> None:
    from nearline.recommend.models import session_knn

    monkeypatch.setattr(session_knn, "NEIGHBOUR_COUNT", neighbour_count)
    monkeypatch.setattr(session_knn, "_PAIRS_AT_ONCE", 7)
    rng = np.random.default_rng(8)
    sessions = [rng.integers(0, 12, rng.integers(1, 9)).tolist() for _ in range(30)]
    train = sequences(*sessions, item_count=12)
    model = session_knn.fit_session_knn(train, FITTING)
    positions = next_items(sequences([3, 5, 3, 1, 2], [7, 8, 9], [1, 1]))
    scores = model.score(positions.histories)
    histories = [[3], [3, 5], [3, 5, 3], [3, 5, 3, 1], [7], [7, 8], [1]]
    for row, asked in zip(scores, histories, strict=True):
        expected = session_knn_by_loops(sessions, asked, neighbour_count)
        # Equally near neighbours at the edge are any: compare where there is no edge.
        if neighbour_count == 200:
            assert row == pytest.approx([expected[i] for i in range(12)], rel=1e-4)
        else:
            assert row.sum() > 0


def test_only_the_most_recent_sessions_of_an_item_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nearline.recommend.models import session_knn

    monkeypatch.setattr(session_knn, "RECENT_COUNT", 1)
    scores = session_scores("session-knn", sequences([0, 1], [0, 2], [0, 3]), 0)
    assert np.flatnonzero(scores).tolist() == [0, 3]


@pytest.mark.parametrize(
    "train",
    [
        sequences([0]),
        sequences([0, 1]),
        sequences([0, 0, 0]),
        sequences(range(5), range(5), range(5)),
        interactions([(0, 0, 7), (0, 1, 7), (1, 0, 7), (1, 2, 7)], 3, 5),
    ],
    ids=["one", "one-user", "one-item", "all-alike", "unknown-items"],
)
def test_no_model_fails_on_little_or_on_histories_that_are_empty_or_all_seen(
    train: Interactions,
) -> None:
    everything = np.arange(train.item_count, dtype=np.int32)
    asked = Histories(
        items=everything,
        starts=np.array([0, 0, 0]),
        ends=np.array([0, 1, train.item_count]),
        owners=np.zeros(3, dtype=np.int32),
    )
    for fits in (models_for_users(USER_MODELS), models_for_sessions(SESSION_MODELS)):
        for name, fit in fits.items():
            scores = fit(train, FITTING).score(asked)
            assert scores.shape == (3, train.item_count), name
            assert scores.dtype == np.float32, name
            assert not np.isnan(scores).any(), name


def test_a_model_that_does_not_work_on_sessions_names_those_that_do() -> None:
    with pytest.raises(InputError, match=r"bpr does not work on sessions; popularity"):
        models_for_sessions(["bpr"])
    with pytest.raises(InputError, match="repeats does not work on users"):
        models_for_users(["repeats"])


def test_an_unknown_model_names_the_known_and_none_is_refused() -> None:
    with pytest.raises(InputError, match="popularity, item-knn, ease, als, bpr"):
        models_for_users(["svd"])
    with pytest.raises(InputError, match="no model is named"):
        models_for_users([])


def test_names_are_taken_once_in_the_order_given() -> None:
    chosen = models_for_users(["ease", "popularity", "ease"])
    assert list(chosen) == ["ease", "popularity"]
    assert {"content", *USER_MODELS, *SESSION_MODELS} == {kind.name for kind in MODELS}


def test_weights_go_to_members_that_help_and_to_no_other() -> None:
    good = np.array([[1.0, 0.0, 0.0]], dtype=np.float32)
    bad = np.array([[0.0, 1.0, 0.0]], dtype=np.float32)

    def quality(blended: np.ndarray) -> float:
        return float(blended[0].argmax() == 0)

    assert blend.greedy_weights({"bad": bad, "good": good}, quality) == {"good": 1}


def test_two_members_that_need_each_other_are_both_weighted() -> None:
    # The target is the second of both, and first only of their sum.
    one = np.array([[1.0, 0.9, 0.0]], dtype=np.float32)
    two = np.array([[0.0, 0.9, 1.0]], dtype=np.float32)

    def quality(blended: np.ndarray) -> float:
        return float(blended[0].argmax() == 1)

    weights = blend.greedy_weights({"one": one, "two": two}, quality)
    assert weights == {"one": 0.5, "two": 0.5}


def test_a_blend_sums_the_levels_of_its_members() -> None:
    class Fixed:
        def __init__(self, *scores: float) -> None:
            self.scores = scores

        def score(self, histories: Histories) -> np.ndarray:
            return np.array([self.scores] * len(histories), dtype=np.float32)

    members = {"a": Fixed(8, 4, 1, -3), "b": Fixed(0, 0, 0, 0)}
    weights = {"a": 0.75, "b": 0.25}
    shown = blend.Blend(members, weights, hides_seen=False).score(history(0))
    assert shown[0] == pytest.approx([0.75, 0.75 * sqrt(1 / 2), 0.75 * sqrt(1 / 8), 0])
    # Where the first item is seen, the second is the highest.
    hidden = blend.Blend(members, weights, hides_seen=True).score(history(0))
    assert hidden[0] == pytest.approx([0, 0.75, 0.75 * 0.5, 0])


def test_a_blend_prefers_what_predicts_over_what_does_not() -> None:
    rng = np.random.default_rng(9)
    starts = rng.integers(0, 20, 150)
    train = sequences(*[[(s + n) % 20 for n in range(5)] for s in starts])
    model = blend.fit_session_blend(train, FITTING)
    assert model.weights["sequential-rules"] >= 0.5
    assert model.weights.get("popularity", 0) <= 0.2
    assert sum(model.weights.values()) == pytest.approx(1)
    assert int(model.score(history(3, 4))[0].argmax()) == 5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_weighed_rows_are_those_of_the_matrices_for_any_number_of_histories(
    count: int,
) -> None:
    rng = np.random.default_rng(6)
    matrix = csr_array(np.where(rng.random((30, 12)) < 0.3, rng.random((30, 12)), 0))
    items = rng.integers(0, 30, 24).astype(np.int32)
    starts = np.arange(count) * 8
    histories = Histories(items, starts, starts + 8)

    found = weigh_rows(histories, matrix.astype(np.float32), 0.7)

    expected = np.zeros((count, 12))
    for row in range(count):
        taken = items[starts[row] : starts[row] + 8].tolist()
        for lag, item in enumerate(reversed(taken)):
            if item not in taken[len(taken) - lag :]:
                expected[row] += 0.7**lag * matrix.toarray()[item]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5)

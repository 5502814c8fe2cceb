"""An evaluation from a file: the protocol on literal rows, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearline.errors import InputError
from nearline.recommend import evaluate
from nearline.recommend.evaluation import Evaluation
from nearline.recommend.histories import Histories
from nearline.recommend.interactions import Interactions
from nearline.recommend.models import ease, popularity
from nearline.recommend.models.protocol import Fitting
from tests.unit.recommend.interaction_tables import write_csv, write_users

HEADER = "user_id,item_id,timestamp"
# Of a, b and c the latest is hidden: z, y and y. Training: x 3, w 2, y 1 (of a), z 1
# (of d, who has one item and stays in training).
LITERAL = [
    *(("a", "x", 1), ("a", "y", 2), ("a", "z", 3)),
    *(("b", "x", 1), ("b", "w", 2), ("b", "y", 3)),
    *(("c", "x", 1), ("c", "w", 2), ("c", "y", 3)),
    ("d", "z", 1),
]


def value(done: Evaluation, measure: str, k: int, model: str = "popularity") -> float:
    found = done.models[model].measures[k][measure].value
    assert found is not None
    return found


def run(folder: Path, rows: Sequence[Sequence[object]], **options: Any) -> Evaluation:
    header = options.pop("header", HEADER)
    options = {"split": "leave-one-out", "k": (1, 2)} | options
    return evaluate(
        write_csv(folder / "t.csv", header, rows),
        options.pop("models", ["popularity"]),
        **options,
    )


def test_leave_one_out_with_popularity_by_hand(tmp_path: Path) -> None:
    done = run(tmp_path, LITERAL)
    assert (done.user_count, done.item_count) == (3, 4)
    assert (done.train_count, done.test_count) == (7, 3)
    # a has x and y: w, then z (the hidden one). b and c have x and w: y and z in an
    # order that the seed decides, since both count 1; y is hidden.
    assert value(done, "hr", 2) == 1
    assert value(done, "precision", 2) == pytest.approx(1 / 2)
    is_y_first = value(done, "hr", 1) > 0
    assert value(done, "hr", 1) == pytest.approx(2 / 3 if is_y_first else 0)
    assert value(done, "mrr", 2) == pytest.approx(
        (1 / 2 + 2 * (1 if is_y_first else 1 / 2)) / 3
    )
    # x is everybody's and is recommended to nobody else: w, y, z of four items.
    assert value(done, "coverage", 2) == pytest.approx(3 / 4)


def test_items_had_in_training_are_never_recommended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nearline.recommend import evaluation

    seen = []
    original = evaluation._measures

    def spy(lists: np.ndarray, task: Any) -> Any:
        entries = task.histories.entries()
        for row, items in enumerate(lists):
            assert not set(items.tolist()) & set(entries.items[entries.rows == row])
        seen.append(len(lists))
        return original(lists, task)

    monkeypatch.setattr(evaluation, "_measures", spy)
    evaluate(write_users(tmp_path / "t.csv"), ["all"], seed=2, k=(10, 20))
    assert len(seen) > 7


def test_a_model_never_sees_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[Interactions] = []
    original = popularity.fit_popularity

    def spy(train: Interactions, fitting: Fitting) -> Any:
        learnt.append(train)
        return original(train, fitting)

    monkeypatch.setattr(popularity, "fit_popularity", spy)
    run(tmp_path, LITERAL)
    (train,) = learnt
    # w, x, y, z are 0 to 3; the latest of a, b and c are not there.
    pairs = list(zip(train.owners.tolist(), train.items.tolist(), strict=True))
    assert pairs == [(0, 1), (0, 2), (1, 1), (1, 0), (2, 1), (2, 0), (3, 3)]


def test_all_equal_scores_are_ordered_by_the_seed_and_not_by_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Indifferent:
        def __init__(self, item_count: int) -> None:
            self.item_count = item_count

        def score(self, histories: Histories) -> np.ndarray:
            return np.zeros((len(histories), self.item_count), dtype=np.float32)

    monkeypatch.setattr(
        popularity,
        "fit_popularity",
        lambda train, fitting: Indifferent(train.item_count),
    )
    rows = [(f"u{u}", f"i{(u + n) % 40:02d}", n) for u in range(40) for n in range(3)]
    hit_rates = [value(run(tmp_path, rows, seed=seed), "hr", 2) for seed in range(20)]
    # Two of 38 at random.
    assert np.mean(hit_rates) == pytest.approx(2 / 38, abs=0.03)


def test_progress_adds_up_to_one_however_many_models(tmp_path: Path) -> None:
    shares: list[float] = []
    run(tmp_path, LITERAL, models=["popularity", "als"], advance=shares.append)
    assert len(shares) > 3
    assert sum(shares) == pytest.approx(1)


def test_repetitions_are_left_out_and_counted(tmp_path: Path) -> None:
    done = run(tmp_path, [*LITERAL, ("a", "x", 9), ("a", "x", 9)])
    assert done.left_out == {"repetition of a user and an item": 2}
    assert value(done, "hr", 2) == value(run(tmp_path, LITERAL), "hr", 2)


def test_items_that_training_does_not_know_count_as_missed(tmp_path: Path) -> None:
    rows = [("a", "x", 1), ("a", "new", 9), ("b", "x", 2), ("b", "y", 3), ("c", "y", 1)]
    done = run(tmp_path, rows, split="temporal", test_share=0.2)
    assert (done.user_count, done.unknown_target_share) == (1, 1)
    assert value(done, "recall", 2) == 0


def test_users_without_training_are_counted_and_not_measured(tmp_path: Path) -> None:
    rows = [("a", "x", 1), ("b", "y", 2), ("a", "y", 8), ("c", "x", 9)]
    done = run(tmp_path, rows, split="temporal", test_share=0.5)
    assert (done.user_count, done.cold_user_count, done.test_count) == (1, 1, 1)


def test_a_user_who_has_seen_everything_misses_and_breaks_nothing(
    tmp_path: Path,
) -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "new", 9), ("b", "x", 3), ("b", "y", 4)]
    done = run(tmp_path, rows, split="temporal", test_share=0.2, models=["all"])
    for name in done.models:
        assert value(done, "ndcg", 2, name) == 0
        # Nothing is listed, so there is nothing to call diverse.
        assert done.models[name].measures[2]["diversity"].value is None


def test_lists_longer_than_the_catalogue_are_short_lists(tmp_path: Path) -> None:
    done = run(tmp_path, LITERAL, k=(1_000_000,))
    assert value(done, "hr", 1_000_000) == 1
    assert value(done, "precision", 1_000_000) == pytest.approx(1e-6)
    assert value(done, "coverage", 1_000_000) == pytest.approx(3 / 4)


def test_a_single_user_is_measured_with_an_interval_of_no_width(
    tmp_path: Path,
) -> None:
    rows = [("a", "x", 1), ("a", "y", 2), ("a", "z", 3)]
    estimate = run(tmp_path, rows).models["popularity"].measures[2]["recall"]
    assert (estimate.value, estimate.ci_low, estimate.ci_high) == (0, 0, 0)


def test_categories_make_the_diversity(tmp_path: Path) -> None:
    rows = [(*row, {"w": "hat"}.get(str(row[1]), "shoe")) for row in LITERAL]
    done = run(tmp_path, rows, header=HEADER + ",category")
    assert done.diversity_by == "category"
    # a is shown w and z, which differ; b and c y and z, which do not.
    assert value(done, "diversity", 2) == pytest.approx(1 / 3)
    assert run(tmp_path, LITERAL).diversity_by == "cooccurrence"


def test_ratings_below_the_least_are_left_out(tmp_path: Path) -> None:
    rows = [(*row, 5) for row in LITERAL] + [("a", "w", 9, 2)]
    done = run(tmp_path, rows, header=HEADER + ",rating", min_rating=4)
    assert done.left_out == {"rating under the least": 1}
    assert value(done, "hr", 2) == 1


def test_the_same_seed_gives_the_same_result_and_rows_may_be_shuffled(
    tmp_path: Path,
) -> None:
    path = write_users(tmp_path / "t.csv")
    header, *rows = path.read_text().splitlines()
    shuffled = tmp_path / "t2.csv"
    shuffled.write_text("\n".join([header, *sorted(rows, reverse=True)]) + "\n")
    first, again = (evaluate(p, ["all"], seed=4, k=(5,)) for p in (path, shuffled))
    for name, result in first.models.items():
        for measure, estimate in result.measures[5].items():
            other = again.models[name].measures[5][measure]
            assert other.value == pytest.approx(estimate.value, abs=0.02), name


def test_the_blend_is_about_as_good_as_its_best_member_and_far_above_popularity(
    tmp_path: Path,
) -> None:
    path = write_users(tmp_path / "t.csv", user_count=150)
    names = ["popularity", "item-knn", "session-knn", "ease", "als", "nearline"]
    done = evaluate(path, names, seed=1, k=(5,))
    ndcg = {name: value(done, "ndcg", 5, name) for name in names}
    assert ndcg["nearline"] > 0.8 * max(ndcg.values())
    assert ndcg["nearline"] > 2 * ndcg["popularity"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_share": -0.25, "split": "temporal"}, "must lie between 0 and 1"),
        ({"split": "weekly"}, "unknown split 'weekly'; known are random-per-user"),
        ({"models": ["svd"]}, "unknown model 'svd'; known for users are popularity"),
        ({"models": ["repeats"]}, "model repeats does not work on users"),
        ({"k": (0,)}, "k: give whole numbers from 1 on"),
        ({"k": ()}, "k: give whole numbers from 1 on"),
        ({"min_rating": 3}, "needs a column rating"),
    ],
)
def test_options_that_cannot_be_used_are_refused(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        run(tmp_path, LITERAL, **options)


def test_a_model_that_refuses_the_data_is_missing_from_all_and_fails_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ease, "MOST_ITEMS", 2)
    done = run(tmp_path, LITERAL, models=["all"])
    assert "ease" not in done.models
    assert done.refused == {
        "ease": "model ease takes at most 2 items, training holds 4; als and nearline "
        "have no such limit",
        "content": "model content needs a column category, brand, price or title; "
        "there is none",
    }
    with pytest.raises(InputError, match="ease takes at most 2 items"):
        run(tmp_path, LITERAL, models=["popularity", "ease"])


def test_nobody_to_measure_is_said_with_the_reason(tmp_path: Path) -> None:
    lone = [("a", "x", 1), ("b", "y", 2)]
    for split in ("leave-one-out", "random-per-user"):
        with pytest.raises(InputError, match="cannot evaluate because no user has any"):
            run(tmp_path, lone, split=split)
    with pytest.raises(InputError, match="both in training and in test"):
        run(tmp_path, lone, split="temporal", test_share=0.5)
    with pytest.raises(InputError, match="cannot evaluate because"):
        run(tmp_path, [("a", "x", 1), ("b", "y", 1)], split="temporal")

"""Sessions: every position is asked, by the usual protocol."""

from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.recommend import evaluate_sessions
from nearline.recommend.histories import next_items
from nearline.recommend.models.registry import models_for_sessions
from tests.unit.recommend.interaction_tables import (
    sequences,
    write_csv,
    write_sessions,
)

HEADER = "session_id,item_id,timestamp"
# y 3 times, x twice, z once.
TRAIN = [
    *(("s1", "x", 1), ("s1", "y", 2), ("s1", "x", 3)),
    *(("s2", "y", 1), ("s2", "z", 2), ("s2", "y", 3)),
]


def files(folder: Path, test: list[tuple[str, str, object]]) -> tuple[Path, Path]:
    return (
        write_csv(folder / "train.csv", HEADER, TRAIN),
        write_csv(folder / "test.csv", HEADER, test),
    )


def test_every_item_but_a_sessions_first_is_asked_with_those_before_it() -> None:
    positions = next_items(sequences([4, 5, 4], [7], [5, 6]))
    histories = [
        positions.histories.items[start:end].tolist()
        for start, end in zip(
            positions.histories.starts, positions.histories.ends, strict=True
        )
    ]
    assert histories == [[4], [4, 5], [5]]
    assert positions.targets.tolist() == [5, 4, 6]
    assert positions.sessions.tolist() == [0, 0, 2]


def test_popularity_on_sessions_by_hand(tmp_path: Path) -> None:
    # Predicted: y (1st), y (1st, though just seen), z (3rd); in t2: x (2nd).
    test = [("t1", "x", 1), ("t1", "y", 2), ("t1", "y", 3), ("t1", "z", 4)]
    test += [("t2", "z", 1), ("t2", "x", 2)]
    train_file, test_file = files(tmp_path, test)
    done = evaluate_sessions(train_file, test_file, ["popularity"], k=(1, 2, 3))
    assert (done.session_count, done.position_count) == (2, 4)
    measures = done.models["popularity"].measures
    assert [measures[k]["hr"].value for k in (1, 2, 3)] == [2 / 4, 3 / 4, 1]
    reciprocals = [1, 1 + 1 + 1 / 2, 1 + 1 + 1 / 3 + 1 / 2]
    assert measures[2]["mrr"].value == pytest.approx(reciprocals[1] / 4)
    assert measures[3]["mrr"].value == pytest.approx(reciprocals[2] / 4)
    assert measures[1]["hr"].ci_low == pytest.approx(0)
    assert measures[1]["hr"].ci_high == pytest.approx(2 / 3)


def test_items_that_training_does_not_know_are_taken_out(tmp_path: Path) -> None:
    with_unknown = [("t", "x", 1), ("t", "new", 2), ("t", "y", 3), ("u", "new", 1)]
    train_file, test_file = files(tmp_path, with_unknown)
    done = evaluate_sessions(train_file, test_file, ["all"], k=(1,))
    assert (done.position_count, done.unknown_item_count) == (1, 2)
    files(tmp_path, [("t", "x", 1), ("t", "y", 3)])
    without = evaluate_sessions(train_file, test_file, ["all"], k=(1,))
    for name, result in done.models.items():
        assert result.measures == without.models[name].measures


# What needs attributes refuses a table without.
SESSION_MODELS = [name for name in models_for_sessions(["all"]) if name != "content"]


def test_every_model_for_sessions_learns_what_follows_what(tmp_path: Path) -> None:
    train = write_sessions(tmp_path / "train.csv", seed=1, session_count=120)
    test = write_sessions(tmp_path / "test.csv", seed=2)
    done = evaluate_sessions(train, test, k=(1, 3), seed=5)
    assert [*done.models, *done.refused] == [*SESSION_MODELS, "content"]
    hits = {name: r.measures[1]["hr"].value or 0 for name, r in done.models.items()}
    assert hits["sequential-rules"] > 0.6
    assert hits["nearline"] > 0.95 * max(hits.values())
    assert hits["nearline"] > 3 * hits["popularity"]


def test_rows_left_out_are_counted_for_each_file(tmp_path: Path) -> None:
    test = [("t", "x", 1), ("t", "y", 2), ("t", "y", "soon")]
    done = evaluate_sessions(*files(tmp_path, test), ["popularity"])
    assert done.train_left_out == {}
    assert done.test_left_out == {"timestamp is no time": 1}


@pytest.mark.parametrize(
    "test",
    [
        [("t", "x", 1), ("u", "y", 1)],
        [("t", "new", 1), ("t", "newer", 2)],
        [("t", "x", 1), ("t", "new", 2)],
    ],
)
def test_nothing_to_predict_is_said_with_the_reason(
    tmp_path: Path, test: list[tuple[str, str, object]]
) -> None:
    with pytest.raises(InputError, match="cannot evaluate because no session"):
        evaluate_sessions(*files(tmp_path, test), ["popularity"])


def test_a_model_that_needs_users_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bpr does not work on sessions; popularity"):
        evaluate_sessions(*files(tmp_path, [("t", "x", 1)]), ["bpr"])

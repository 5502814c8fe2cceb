"""`nearline recommend`, as its user sees it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nearline.errors import InputError
from nearline.recommend.command import recommend
from tests.unit.recommend.interaction_tables import write_sessions, write_users


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(recommend, [str(argument) for argument in arguments])


def test_users_as_json_have_every_measure_of_every_model_at_every_k(
    tmp_path: Path,
) -> None:
    done = call(
        "evaluate", write_users(tmp_path / "t.csv"), "--split", "temporal",
        "--test-share", "0.3", "--seed", "5", "--k", "10,5",
        "--model", "popularity,item-knn", "--model", "ease", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["file"], found["split"], found["seed"]) == ("t.csv", "temporal", 5)
    assert found["test_share"] == 0.3
    assert list(found["models"]) == ["popularity", "item-knn", "ease"]
    for result in found["models"].values():
        assert list(result["measures"]) == ["5", "10"]
        for measures in result["measures"].values():
            assert set(measures) == {
                *("precision", "recall", "hr", "map", "ndcg", "mrr"),
                *("coverage", "diversity", "novelty", "popularity_share"),
            }
            for estimate in measures.values():
                assert estimate["ci_low"] <= estimate["value"] <= estimate["ci_high"]


def test_sessions_as_json(tmp_path: Path) -> None:
    train = write_sessions(tmp_path / "train.csv")
    test = write_sessions(tmp_path / "test.csv", seed=2)
    done = call(
        "evaluate-sessions", "--train", train, "--test", test, "--k", "20", "--model",
        "session-knn", "--json",
    )  # fmt: skip
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert (found["train_file"], found["test_file"]) == ("train.csv", "test.csv")
    assert list(found["models"]["session-knn"]["measures"]["20"]) == ["hr", "mrr"]


def test_people_get_a_table_with_a_row_for_each_model(tmp_path: Path) -> None:
    path = write_users(tmp_path / "t.csv")
    done = call("evaluate", path, "--model", "popularity,item-knn", "--k", "5")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("t.csv: 40 users measured, 30 items, ")
    assert [line.split()[0] for line in lines if line.startswith("@5")] == ["@5", "@5"]
    assert sum(line.startswith("item-knn ") for line in lines) == 2
    assert "popularity_share" in done.stdout
    assert "user0" not in done.stdout


def test_people_get_a_table_of_sessions(tmp_path: Path) -> None:
    train = write_sessions(tmp_path / "train.csv")
    done = call(
        "evaluate-sessions", "--train", train, "--test", train, "--model", "popularity"
    )
    assert done.stdout.startswith("train.csv: 200 next items predicted in 40 sessions")
    assert "@20" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--k", "ten"], "--k: give whole numbers from 1 on"),
        (["--k", "10,-5"], "k: give whole numbers from 1 on"),
        (["--test-share", "-0.2"], "must lie between 0 and 1"),
        (
            ["--model", "svd"],
            "unknown model 'svd'; known for users are popularity, item-knn",
        ),
        (["--model", ","], "no model is named"),
        (["--split", "weekly"], "unknown split"),
    ],
)
def test_a_bad_option_is_an_error_in_words(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    done = call("evaluate", write_users(tmp_path / "t.csv"), *arguments)
    assert isinstance(done.exception, InputError)
    assert words in str(done.exception)
    assert done.exception.exit_code == 2

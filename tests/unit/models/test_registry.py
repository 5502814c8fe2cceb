"""Versions appear whole, serve by a link of one step, and can be taken back."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.models import (
    Champion,
    Estimate,
    ModelCard,
    ModelFacts,
    NoChampion,
    load_champion,
    load_version,
    promote,
    read_state,
    register,
    registered_names,
    rollback,
    versions,
)
from nearline.models.cards import BrokenVersionError, read_card
from nearline.models.registry import check_version, version_folder

NOW = datetime(2026, 3, 1, 4, tzinfo=UTC)
FACTS = ModelFacts(
    release_id="20260301T031500Z",
    code_version="0.1.0 (abc)",
    data_from="2026-02-01T00:00:00Z",
    data_up_to="2026-03-01T00:00:00Z",
    seed=7,
    row_counts={"train": 80, "holdout": 20},
    metrics={"auc": Estimate(0.8, 0.7, 0.9)},
    beside={"base_rate": {"auc": Estimate(0.5, None, None)}},
    features=("page_view_count_24h",),
)


def written(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "weights.txt").write_text(text)

    return write


def add(models: Path, text: str, is_promoted: bool = True) -> ModelCard:
    card = register(models, "clicks", FACTS, written(text), NOW)
    if is_promoted:
        promote(models, "clicks", card.version, "test", NOW)
    return card


def read_text(folder: Path) -> str:
    return (folder / "weights.txt").read_text()


def champion(models: Path) -> "Champion[str]":
    found = load_champion(models, "clicks", read_text)
    assert isinstance(found, Champion)
    return found


def test_a_version_is_a_challenger_until_it_is_promoted(tmp_path: Path) -> None:
    add(tmp_path, "one", is_promoted=False)
    state = read_state(tmp_path, "clicks")
    assert (state.champion, state.challenger) == (None, 1)
    assert load_champion(tmp_path, "clicks", read_text) == NoChampion(
        "no version of clicks was promoted yet"
    )
    promote(tmp_path, "clicks", 1, "good", NOW)
    state = read_state(tmp_path, "clicks")
    assert (state.champion, state.challenger) == (1, None)
    assert champion(tmp_path).model == "one"
    assert [(e.action, e.version, e.reason) for e in state.entries] == [
        ("registered", 1, ""),
        ("promoted", 1, "good"),
    ]


def test_a_card_is_read_as_it_was_written_with_the_digest_of_each_file(
    tmp_path: Path,
) -> None:
    card = add(tmp_path, "one")
    assert read_card(version_folder(tmp_path, "clicks", 1)) == card
    assert card.facts == FACTS
    # `printf one | sha256sum`
    assert card.files == {
        "weights.txt": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    }


def test_rolling_back_returns_to_what_served_before(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        add(tmp_path, text)
    rollback(tmp_path, "clicks", "odd", NOW)
    assert champion(tmp_path).model == "two"
    rollback(tmp_path, "clicks", "odd", NOW)
    assert champion(tmp_path).model == "one"
    with pytest.raises(InputError, match="no earlier champion"):
        rollback(tmp_path, "clicks", "odd", NOW)
    promote(tmp_path, "clicks", 3, "it was good", NOW)
    assert champion(tmp_path).model == "three"
    assert read_state(tmp_path, "clicks").champions_before == (1,)


def test_rolling_back_passes_over_what_is_damaged(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        add(tmp_path, text)
    (version_folder(tmp_path, "clicks", 2) / "weights.txt").write_text("twO")
    assert rollback(tmp_path, "clicks", "odd", NOW).champion == 1


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights.txt").write_text("forged"),
        lambda folder: (folder / "weights.txt").unlink(),
        lambda folder: (folder / "more.txt").write_text("forged"),
        lambda folder: (folder / "card.json").write_text("{"),
        lambda folder: (folder / "card.json").unlink(),
        lambda folder: (folder / "card.json").write_text(
            (folder / "card.json").read_text().replace("0.8", "0.9")
        ),
    ],
    ids=[
        "file_changed",
        "file_gone",
        "file_added",
        "card_torn",
        "card_gone",
        "card_edited",
    ],
)
def test_a_damaged_champion_gives_way_to_the_last_good_one_aloud(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], object],
) -> None:
    add(tmp_path, "one")
    add(tmp_path, "two")
    assert not champion(tmp_path).is_fallback
    damage(version_folder(tmp_path, "clicks", 2))
    found = champion(tmp_path)
    assert (found.model, found.card.version, found.is_fallback) == ("one", 1, True)
    assert "clicks: v1 serves" in caplog.text
    with pytest.raises(BrokenVersionError):
        promote(tmp_path, "clicks", 2, "again", NOW)


def test_a_loader_that_cannot_read_a_version_is_given_the_one_before(
    tmp_path: Path,
) -> None:
    add(tmp_path, "1")
    add(tmp_path, "two")
    found = load_champion(tmp_path, "clicks", lambda folder: int(read_text(folder)))
    assert isinstance(found, Champion)
    assert found.model == 1
    assert found.problems == ("clicks v2 cannot be read (ValueError)",)


def test_where_no_champion_is_whole_the_answer_says_so(tmp_path: Path) -> None:
    add(tmp_path, "one")
    (version_folder(tmp_path, "clicks", 1) / "weights.txt").unlink()
    found = load_champion(tmp_path, "clicks", read_text)
    assert isinstance(found, NoChampion)
    assert found.problems == ("clicks v1: weights.txt is missing",)


def test_a_torn_state_is_taken_from_the_one_before(tmp_path: Path) -> None:
    add(tmp_path, "one")
    add(tmp_path, "two")
    (tmp_path / "clicks" / "state.json").write_text('{"champion": ')
    found = champion(tmp_path)
    # Version 2 was registered, its promotion was the last thing written.
    assert (found.model, found.problems) == (
        "one",
        ("clicks: state.json cannot be read",),
    )
    add(tmp_path, "three")
    assert champion(tmp_path).problems == ()
    assert read_state(tmp_path, "clicks").champions_before == (1,)


def test_without_any_state_that_can_be_read_nothing_serves(tmp_path: Path) -> None:
    add(tmp_path, "one")
    for path in (tmp_path / "clicks").glob("state*.json"):
        path.write_text("[]")
    found = load_champion(tmp_path, "clicks", read_text)
    assert isinstance(found, NoChampion)
    assert "move" in found.reason


def test_a_failed_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    add(tmp_path, "one")

    def write_half(folder: Path) -> None:
        (folder / "weights.txt").write_text("ha")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        register(tmp_path, "clicks", FACTS, write_half, NOW)
    assert versions(tmp_path, "clicks") == [1]
    assert not list((tmp_path / "clicks").glob(".draft*"))
    assert read_state(tmp_path, "clicks").challenger is None


def test_what_a_killed_writer_left_is_gone_with_the_next_version(
    tmp_path: Path,
) -> None:
    add(tmp_path, "one")
    (tmp_path / "clicks" / ".draft-v2").mkdir()
    # Renamed, but killed before the state was written: no state knows it.
    version_folder(tmp_path, "clicks", 2).mkdir()
    assert champion(tmp_path).model == "one"
    assert add(tmp_path, "three").version == 3
    assert not list((tmp_path / "clicks").glob(".draft*"))


def test_old_versions_go_but_never_what_may_still_serve(tmp_path: Path) -> None:
    add(tmp_path, "first")
    add(tmp_path, "champion")
    for number in range(6):
        add(tmp_path, f"refused {number}", is_promoted=False)
    assert versions(tmp_path, "clicks") == [1, 2, 4, 5, 6, 7, 8]
    assert champion(tmp_path).model == "champion"
    assert rollback(tmp_path, "clicks", "odd", NOW).champion == 1


def test_a_version_of_which_the_state_knows_nothing_is_not_served(
    tmp_path: Path,
) -> None:
    add(tmp_path, "one")
    stray = version_folder(tmp_path, "clicks", 2)
    stray.mkdir()
    for path in version_folder(tmp_path, "clicks", 1).iterdir():
        (stray / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BrokenVersionError, match="not what was registered"):
        check_version(tmp_path, "clicks", 2, read_state(tmp_path, "clicks"))


def test_a_challenger_can_be_loaded_beside_the_champion(tmp_path: Path) -> None:
    add(tmp_path, "one")
    add(tmp_path, "two", is_promoted=False)
    assert load_version(tmp_path, "clicks", 2, read_text).model == "two"
    assert champion(tmp_path).model == "one"


def test_folders_that_are_no_models_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "person_clusters").mkdir()
    (tmp_path / "person_clusters" / "model.json").write_text("{}")
    add(tmp_path, "one")
    assert registered_names(tmp_path) == ["clicks"]
    with pytest.raises(InputError, match="registered: clicks"):
        promote(tmp_path, "person_clusters", 1, "", NOW)


@pytest.mark.parametrize("name", ["", "Clicks", "../clicks", "a/b", "1st"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="model name"):
        register(tmp_path, name, FACTS, written("one"), NOW)


def test_a_card_of_facts_that_json_cannot_hold_registers_nothing(
    tmp_path: Path,
) -> None:
    facts = replace(FACTS, details={"when": NOW})
    with pytest.raises(TypeError):
        register(tmp_path, "clicks", facts, written("one"), NOW)
    assert registered_names(tmp_path) == []
    json.dumps(FACTS.row_counts)

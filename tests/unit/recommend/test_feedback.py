"""What choosing was worth, from lists whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner

from nearline.errors import NearlineError
from nearline.privacy.suppression import suppress
from nearline.recommend.command import recommend
from nearline.recommend.feedback import LEAST_PERSONS, Worth, read_worth, worth_of
from nearline.settings import Settings
from tests.releases import NOON, Row, write_release

MANIFEST = {
    "release_id": "r1",
    "created_at": "2026-03-03T06:00:00Z",
    "code_version": "test",
    "data_up_to": "2026-03-02T12:00:00Z",
    "landings": {},
    "tables": {},
}
ONES = {"is_outcome_complete": True, "has_personalization_consent": True}


def _shown(visitor: str, place: int, **fields: object) -> Row:
    return {
        "shown_item_id": f"{visitor}-{fields.get('recommender_version', 1)}-{place}",
        "decision_id": f"d-{visitor}",
        "decided_at": NOON,
        "decision_date": NOON.date(),
        "slot": "home",
        "visitor_id": visitor,
        "person_id": visitor.replace("v_", "p_"),
        "recommender_version": 1,
        "place": place,
        "item_id": f"sku_{place}",
        "is_explored": False,
        **dict.fromkeys(("is_viewed", "is_carted", "is_bought", "is_bot"), False),
        **ONES,
        **fields,
    }


def _forty_people() -> list[Row]:
    """Each is shown three chosen items, one of them taken, and one drawn; of the drawn
    one in four is taken, so choosing is worth 4/3."""
    rows = []
    for number in range(40):
        visitor = f"v_person{number:04}"
        rows += [_shown(visitor, place, is_viewed=place == 1) for place in (1, 2, 3)]
        rows.append(_shown(visitor, 4, is_explored=True, is_viewed=number % 4 == 0))
    return rows


def _published(home: Path, rows: list[Row]) -> Settings:
    settings = Settings(home=home)
    release = write_release(home / "releases" / "r1", {"fct_shown_items": rows})
    (release / "manifest.json").write_text(json.dumps(MANIFEST))
    settings.published.symlink_to(release)
    return settings


def _worth(settings: Settings) -> list[Worth]:
    return read_worth(settings, settings.published.resolve(), "viewed", seed=0)


def test_chosen_items_are_compared_with_those_drawn(tmp_path):
    [found] = _worth(_published(tmp_path, _forty_people()))

    assert (found.person_count, found.chosen_count, found.drawn_count) == (40, 120, 40)
    assert found.chosen_taken.value == pytest.approx(1 / 3)
    assert found.drawn_taken.value == pytest.approx(1 / 4)
    assert found.times.value == pytest.approx(4 / 3)
    assert found.times.ci_low < 4 / 3 < found.times.ci_high


@pytest.mark.parametrize(
    "fields",
    [
        {"is_bot": True},
        {"has_personalization_consent": False},
        {"is_outcome_complete": False},
        {"recommender_version": None},
    ],
    ids=["a machine's", "without consent", "not whole yet", "of no version"],
)
def test_what_may_not_be_learnt_from_counts_for_nothing(tmp_path, fields):
    others = [_shown(f"v_other{n:05}", 5, is_viewed=True, **fields) for n in range(100)]
    [found] = _worth(_published(tmp_path, [*_forty_people(), *others]))

    assert found.chosen_count == 120


def test_whoever_is_suppressed_counts_for_nothing_from_then_on(tmp_path):
    settings = _published(tmp_path, _forty_people())
    suppress(settings, "visitor", "v_person0000", "erased", NOON)

    [found] = _worth(settings)
    assert (found.person_count, found.chosen_count) == (39, 117)


def test_versions_are_told_apart(tmp_path):
    rows = _forty_people()
    newer = [{**row, "recommender_version": 2, "is_viewed": True} for row in rows]
    for row in newer:
        row["shown_item_id"] += "-2"

    assert [one.version for one in _worth(_published(tmp_path, [*rows, *newer]))] == [
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [row for row in _forty_people() if not row["is_explored"]],
            "let lists explore",
        ),
        (_forty_people()[: 4 * (LEAST_PERSONS - 1)], "fewer than 30 people"),
        (
            [{**row, "is_viewed": row["place"] == 1} for row in _forty_people()],
            "fewer than 5 items shown by chance were taken",
        ),
    ],
    ids=["nothing drawn", "few people", "none taken"],
)
def test_what_cannot_be_told_says_why(tmp_path, rows, words):
    [found] = _worth(_published(tmp_path, rows))

    assert words in found.problem
    assert found.times.value is None
    assert not found.is_worse_than_chance
    assert not found.is_better_than_chance


def test_a_release_made_before_there_was_the_table_says_what_to_do(tmp_path):
    with pytest.raises(NearlineError, match="nearline run"):
        read_worth(Settings(home=tmp_path), tmp_path, "viewed", seed=0)


def test_the_interval_is_that_of_the_delta_method_where_people_are_many():
    """Fieller's large-sample interval of a quotient of means, by hand."""
    rng = np.random.default_rng(4)
    table = _drawn_people(rng, 4_000, chosen=0.12, drawn=0.06)
    [found] = worth_of(table, seed=0)

    logs, spread = _log_quotient(table)
    assert np.log(found.times.value) == pytest.approx(logs)
    assert np.log(found.times.ci_low) == pytest.approx(logs - 1.96 * spread, abs=0.02)
    assert np.log(found.times.ci_high) == pytest.approx(logs + 1.96 * spread, abs=0.02)
    assert found.is_better_than_chance


def test_the_true_quotient_lies_in_the_interval_as_often_as_stated():
    """150 worlds: below 131 of them happens once in 30,000 at 95 %."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(150):
        [found] = worth_of(_drawn_people(rng, 300, chosen=0.2, drawn=0.1), seed=1)
        held += found.times.ci_low <= 2 <= found.times.ci_high
    assert 131 <= held <= 150


def test_the_command_says_it_in_words_and_as_json(tmp_path, monkeypatch):
    _published(tmp_path, _forty_people())
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))

    words = CliRunner().invoke(recommend, ["feedback"]).output
    assert "chosen items were viewed 1.33 times as often as drawn ones" in words
    assert "no better and no worse than chance" in words

    printed = CliRunner().invoke(recommend, ["feedback", "--json"]).output
    [version] = json.loads(printed)["versions"]
    assert version["drawn_count"] == 40
    assert version["times"]["value"] == pytest.approx(4 / 3)


def _drawn_people(
    rng: np.random.Generator, count: int, *, chosen: float, drawn: float
) -> pa.Table:
    """People who are more or less willing at all, alike for chosen and drawn items."""
    willing = rng.uniform(0.5, 1.5, count)
    shown = {"chosen": rng.integers(5, 15, count), "drawn": rng.integers(1, 5, count)}
    return pa.table(
        {
            "version": np.ones(count, dtype=int),
            **shown,
            "chosen_taken": rng.binomial(shown["chosen"], chosen * willing),
            "drawn_taken": rng.binomial(shown["drawn"], drawn * willing),
        }
    )


def _log_quotient(table: pa.Table) -> tuple[float, float]:
    columns = {
        name: np.asarray(table[name], dtype=float) for name in table.column_names
    }
    parts, total = [], 0.0
    for kind, sign in (("chosen", 1), ("drawn", -1)):
        taken, shown = columns[f"{kind}_taken"], columns[kind]
        rate = taken.sum() / shown.sum()
        total += sign * np.log(rate)
        parts.append(sign * (taken - rate * shown) / taken.sum())
    return total, float(np.sqrt((sum(parts) ** 2).sum()))

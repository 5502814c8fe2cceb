"""A running experiment changes by a new phase or not at all."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.errors import InputError
from nearline.experiments.journal import changes, note_definitions, read_journal
from tests.unit.experiments.written_experiments import (
    APRIL,
    MARCH,
    NOON,
    defined,
    phase,
)

DAY = timedelta(days=1)


def noted(tmp_path: Path, **given: Any) -> Path:
    """A record of a definition that ran at `NOON`."""
    journal = tmp_path / "state" / "ran.jsonl"
    note_definitions(journal, [defined(tmp_path / "files", **given)], NOON)
    return journal


def refusals(tmp_path: Path, journal: Path, now: Any = NOON, **given: Any) -> list[str]:
    definition = defined(tmp_path / "files", **given)
    return [str(one) for one in changes([definition], read_journal(journal), now)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"variants": {"plain": 0.1, "banner": 0.9}}, "variants"),
        ({"coverage": 0.5}, "variants"),
        ({"variants": {"banner": 0.5, "plain": 0.5}}, "variants"),
        ({"salt": "other"}, "salt"),
        ({"metrics": {"primary": "add_to_cart"}}, "metrics.primary"),
        (
            {"metrics": {"primary": "conversion", "secondary": ["add_to_cart"]}},
            "metrics.secondary",
        ),
        ({"starts_at": MARCH + DAY}, "starts_at"),
        ({"unit": "person"}, "unit"),
        ({"hold_out": 0.1}, "hold_outs"),
        ({"contaminated": "first_seen"}, "contaminated"),
        ({"eligibility": {"consents": ["marketing"]}}, "eligibility"),
        ({"horizon": "always_valid"}, "horizon"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_running_experiment_is_made_of_cannot_change(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    journal = noted(tmp_path)
    found = refusals(tmp_path, journal, **change)
    assert found[0].startswith(f"banner.yml: {place}: was ")
    assert "put it back" in found[0]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"stops_at": APRIL},
        {"owner": "somebody else"},
        {"hypothesis": "In other words."},
        {"expected_effect": 0.1},
        {"phases": [phase(NOON, coverage=0.5)]},
        {"phases": [phase(APRIL, salt="other")]},
    ],
    ids=["nothing", "stop", "owner", "words", "effect", "phase now", "phase later"],
)
def test_what_does_not_touch_what_was_shown_may_change(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    assert refusals(tmp_path, noted(tmp_path), **change) == []


def test_before_its_start_anything_may_change(tmp_path: Path) -> None:
    journal = noted(tmp_path, starts_at=APRIL)
    assert refusals(tmp_path, journal, starts_at=APRIL, salt="other") == []


def test_a_phase_that_was_planned_may_change_until_it_begins(tmp_path: Path) -> None:
    journal = noted(tmp_path, phases=[phase(APRIL, coverage=0.5)])
    changed = {"phases": [phase(APRIL, coverage=0.2)]}
    assert refusals(tmp_path, journal, APRIL - DAY, **changed) == []
    [found] = refusals(tmp_path, journal, APRIL, **changed)
    assert found.startswith(
        'banner.yml: phases.0.variants: was {"plain": 2500, "banner": 2500}'
    )


def test_a_phase_that_ran_cannot_be_taken_out(tmp_path: Path) -> None:
    journal = noted(tmp_path, phases=[phase(NOON, coverage=0.5)])
    [found] = refusals(tmp_path, journal)
    assert (
        found == "banner.yml: phases.0: has run; put it back, and add another after it"
    )


def test_a_phase_cannot_begin_in_the_past(tmp_path: Path) -> None:
    journal = noted(tmp_path)
    late = {"phases": [phase(NOON, coverage=0.5)]}
    assert refusals(tmp_path, journal, NOON + DAY, **late) == []
    [found] = refusals(tmp_path, journal, NOON + 2 * DAY, **late)
    assert found.startswith("banner.yml: phases.0.starts_at: begins in the past")


def test_a_phase_that_was_noted_before_it_began_is_not_late(tmp_path: Path) -> None:
    planned = {"phases": [phase(APRIL, coverage=0.5)]}
    journal = noted(tmp_path, **planned)
    assert refusals(tmp_path, journal, APRIL + 30 * DAY, **planned) == []


def test_the_record_grows_by_what_is_new_alone(tmp_path: Path) -> None:
    journal = noted(tmp_path)
    same = defined(tmp_path / "files")
    assert note_definitions(journal, [same], NOON + DAY) == 0
    assert len(journal.read_text().splitlines()) == 1
    more = defined(tmp_path / "files", phases=[phase(APRIL, coverage=0.5)])
    assert note_definitions(journal, [more], NOON + DAY) == 1
    assert read_journal(journal)["banner"].seen_at == NOON + DAY


def test_a_record_changed_by_hand_is_told_of(tmp_path: Path) -> None:
    journal = noted(tmp_path)
    journal.write_text(journal.read_text() + "{}\n")
    with pytest.raises(InputError, match=r"ran\.jsonl: line 2 cannot be read"):
        read_journal(journal)

"""Who sees what before, during and after an experiment."""

from datetime import datetime, timedelta
from pathlib import Path

from nearline.experiments.assignment import bucket_of
from nearline.experiments.decision_record import ExperimentDecision
from nearline.experiments.rollout import stand
from tests.unit.experiments.written_experiments import (
    APRIL,
    MARCH,
    NOON,
    defined,
    layers,
    phase,
)

KEYS = [f"v_{number:016x}" for number in range(1_000)]


def decided(variant: str | None, at: datetime = NOON) -> ExperimentDecision:
    return ExperimentDecision("banner", at, variant, "as hoped", "shop", "0" * 12)


def test_nobody_sees_a_variant_before_the_start_or_after_the_stop(
    tmp_path: Path,
) -> None:
    definition = defined(tmp_path, starts_at=NOON, stops_at=APRIL)
    for moment, state, changes_at in (
        (MARCH, "waiting", NOON),
        (APRIL, "over", None),
    ):
        found = stand(definition, None, moment)
        assert (found.state, found.changes_at) == (state, changes_at)
        assert not found.is_counted
        assert {found.assigner.variant_of(key) for key in KEYS} == {None}


def test_a_draft_shows_nothing(tmp_path: Path) -> None:
    found = stand(defined(tmp_path, starts_at=None), None, NOON)
    assert (found.state, found.is_counted) == ("draft", False)
    assert found.assigner.variant_of(KEYS[0]) is None


def test_while_it_runs_everybody_has_the_variant_of_their_bucket(
    tmp_path: Path,
) -> None:
    definition = defined(tmp_path, stops_at=APRIL, phases=[phase(NOON, coverage=0.5)])
    found = stand(definition, None, MARCH)
    assert (found.state, found.is_counted, found.changes_at) == ("running", True, NOON)
    for key in KEYS:
        first_half = bucket_of("banner", key) < 5_000
        assert found.assigner.variant_of(key) == ("plain" if first_half else "banner")
    assert stand(definition, None, NOON).changes_at == APRIL


def test_what_is_shipped_is_seen_by_everybody_but_hold_outs(tmp_path: Path) -> None:
    layers(tmp_path, hold_out={"share": 0.1, "salt": "all"}, layers={"top": {}})
    definition = defined(
        tmp_path,
        coverage=0.1,
        layer={"name": "top", "first": 0, "count": 10},
        stops_at=APRIL,
    )
    found = stand(definition, decided("banner"), APRIL + timedelta(days=300))
    assert (found.state, found.is_counted, found.changes_at) == ("shipped", False, None)
    for key in KEYS:
        is_held = bucket_of("all", key) < 1_000
        assert found.assigner.variant_of(key) == (None if is_held else "banner")


def test_what_is_stopped_is_seen_by_nobody(tmp_path: Path) -> None:
    found = stand(defined(tmp_path), decided(None), NOON)
    assert (found.state, found.is_counted) == ("stopped", False)
    assert {found.assigner.variant_of(key) for key in KEYS} == {None}


def test_a_decision_holds_from_its_moment_on(tmp_path: Path) -> None:
    found = stand(defined(tmp_path), decided("banner", APRIL), NOON)
    assert (found.state, found.changes_at) == ("running", APRIL)

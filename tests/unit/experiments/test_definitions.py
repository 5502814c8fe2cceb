"""Experiments as files: what is read, and what is refused with file, field and fix."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.experiments.assignment import BUCKET_COUNT, HoldOut, Slot, bucket_of
from nearline.experiments.definitions import Eligibility, Phase, load_definitions
from nearline.yaml_forms import FileError
from tests.unit.experiments.written_experiments import (
    APRIL,
    MARCH,
    NOON,
    defined,
    layers,
    phase,
    written,
)

KEYS = [f"v_{number:016x}" for number in range(4_000)]


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(FileError) as refused:
        load_definitions(folder)
    return [str(one) for one in refused.value.problems]


def test_a_definition_is_read_whole(tmp_path: Path) -> None:
    layers(
        tmp_path,
        hold_out={"share": 0.02, "salt": "all-2026"},
        layers={"top": {"hold_out": 0.1}},
    )
    found = defined(
        tmp_path,
        analysed_by="person",
        coverage=0.2,
        layer={"name": "top", "first": 1_000, "count": 8_000},
        hold_out=0.05,
        eligibility={"consents": ["personalization"], "segments": ["engaged_buyer"]},
        stops_at=APRIL,
        metrics={
            "primary": "conversion",
            "secondary": ["add_to_cart"],
            "guardrails": {"bounce_rate": 0.02},
        },
        expected_effect=0.05,
        horizon="group_sequential",
        looks=[0.5, 1],
        contaminated="first_seen",
    )
    assert found.variants == {"plain": 1_000, "banner": 1_000}
    assert found.salt == "banner"
    assert found.layer == Slot("layer.top", 1_000, 8_000)
    assert found.hold_outs == (
        HoldOut("all-2026", 200),
        HoldOut("hold_out.banner", 500),
    )
    assert found.eligibility == Eligibility(
        frozenset({"personalization"}), ("engaged_buyer",)
    )
    assert (found.unit, found.analysed_by) == ("visitor", "person")
    assert (found.starts_at, found.stops_at) == (MARCH, APRIL)
    assert found.all_metrics == ("conversion", "add_to_cart", "bounce_rate")
    assert found.looks == (0.5, 1.0)
    assert found.phases == (
        Phase(
            0,
            MARCH,
            {"plain": 1_000, "banner": 1_000},
            "banner",
            "conversion",
            ("add_to_cart",),
            {"bounce_rate": 0.02},
        ),
    )


def test_a_phase_keeps_what_it_does_not_change(tmp_path: Path) -> None:
    found = defined(
        tmp_path,
        coverage=0.1,
        phases=[
            phase(NOON, coverage=1.0),
            phase(NOON + timedelta(days=1), metrics={"primary": "add_to_cart"}),
        ],
    )
    assert [one.variants["banner"] for one in found.phases] == [500, 5_000, 5_000]
    assert [one.primary_metric for one in found.phases] == [
        "conversion",
        "conversion",
        "add_to_cart",
    ]
    assert found.phase_at(MARCH).number == 0
    assert found.phase_at(NOON).number == 1
    assert found.all_metrics == ("conversion", "add_to_cart")


def test_more_coverage_keeps_everybody_in_their_variant(tmp_path: Path) -> None:
    found = defined(tmp_path, coverage=0.1, phases=[phase(NOON, coverage=1.0)])
    before, after = found.assigner_at(MARCH), found.assigner_at(NOON)
    were = {key: before.variant_of(key) for key in KEYS}
    in_it = {key: variant for key, variant in were.items() if variant is not None}
    assert 300 < len(in_it) < 500
    assert all(after.variant_of(key) == variant for key, variant in in_it.items())
    assert None not in {after.variant_of(key) for key in KEYS}


def test_another_salt_shuffles_everybody_anew(tmp_path: Path) -> None:
    found = defined(tmp_path, phases=[phase(NOON, salt="again")])
    before, after = found.assigner_at(MARCH), found.assigner_at(NOON)
    stayed = sum(before.variant_of(key) == after.variant_of(key) for key in KEYS)
    assert 1_850 < stayed < 2_150


def test_who_is_held_out_is_in_no_variant(tmp_path: Path) -> None:
    layers(tmp_path, hold_out={"share": 0.02, "salt": "all-2026"})
    assigner = defined(tmp_path, hold_out=0.05).assigner_at(MARCH)
    for key in KEYS:
        is_held = (
            bucket_of("all-2026", key) < 200 or bucket_of("hold_out.banner", key) < 500
        )
        assert (assigner.variant_of(key) is None) == is_held


def test_nobody_is_in_two_experiments_of_a_layer(tmp_path: Path) -> None:
    layers(tmp_path, layers={"top": {"hold_out": 0.1}})
    written(tmp_path, "one", layer={"name": "top", "first": 0, "count": 4_000})
    written(tmp_path, "two", layer={"name": "top", "first": 4_000, "count": 5_000})
    one, two = (found.assigner_at(NOON) for found in load_definitions(tmp_path))
    met = [(one.variant_of(key), two.variant_of(key)) for key in KEYS]
    assert all(None in pair for pair in met)
    held = [key for key in KEYS if bucket_of("layer.top", key) >= 9_000]
    assert [
        key for key, pair in zip(KEYS, met, strict=True) if pair == (None, None)
    ] == (held)


def test_days_are_their_first_instant_and_times_are_utc(tmp_path: Path) -> None:
    path = written(tmp_path, starts_at=None)
    path.write_text(
        path.read_text()
        + "starts_at: 2026-03-01\nstops_at: 2026-03-08 10:00:00+02:00\n"
    )
    [found] = load_definitions(tmp_path)
    assert found.starts_at == MARCH
    assert found.stops_at == datetime(2026, 3, 8, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"variants": {"plain": 0.5, "banner": 0.4}}, "variants: shares add up to 0.9"),
        (
            {"variants": {"a": 0.5, "banner": 0.5}},
            "variants: has no plain, the control",
        ),
        ({"variants": {"plain": 1.0}}, "variants: must be two or more"),
        ({"coverage": 0.3333}, "variants.plain: makes 1666.5 of 10,000 buckets"),
        ({"stops_at": MARCH}, "stops_at: must be after starts_at"),
        ({"starts_at": "soon"}, "starts_at: must be a day or a time"),
        ({"metrics": None}, "metrics: is missing"),
        (
            {"metrics": {"primary": "conversion", "secondary": ["conversion"]}},
            "metrics.secondary: has the primary one",
        ),
        (
            {"metrics": {"primary": "c", "guardrails": {"bounce_rate": 1.5}}},
            "metrics.guardrails.bounce_rate: input should be less than 1",
        ),
        ({"expected_effect": 0}, "expected_effect: must not be 0"),
        ({"looks": [0.5, 1]}, "looks: go with `horizon: group_sequential`"),
        (
            {"horizon": "group_sequential", "looks": [1, 0.5]},
            "looks: must grow and end with 1",
        ),
        ({"horizon": "bayes"}, "horizon: input should be 'fixed'"),
        ({"unit": "account"}, "unit: input should be 'session', 'visitor' or 'person'"),
        ({"analysed_by": "session"}, "analysed_by: must be visitor or made of whole"),
        ({"phases": [phase(NOON)]}, "phases.0: changes nothing"),
        ({"phases": [phase(MARCH, salt="x")]}, "phases.0.starts_at: must be after"),
        (
            {"stops_at": NOON, "phases": [phase(APRIL, salt="x")]},
            "phases.0.starts_at: must be before stops_at",
        ),
        (
            {"phases": [{"starts_at": NOON, "salt": "x"}]},
            "phases.0.why: is missing",
        ),
        (
            {"layer": {"name": "top", "first": 0, "count": 10}},
            "layer.name: is not in _layers.yml (there: none)",
        ),
        ({"weights": {"plain": 1}}, "weights: there is no such field"),
        ({"version": 2}, "version: has to be 1"),
        ({"eligibility": {"consents": ["analytics"]}}, "eligibility.consents.0: input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_told_with_file_and_field(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    written(tmp_path, **changes)
    [found] = problems_of(tmp_path)[:1]
    assert found.startswith(f"banner.yml: {problem}")


def test_experiments_that_share_buckets_of_a_layer_at_one_time_are_refused(
    tmp_path: Path,
) -> None:
    layers(tmp_path, layers={"top": {}})
    written(tmp_path, "one", layer={"name": "top", "first": 0, "count": 5_000})
    place = {"name": "top", "first": 4_999, "count": 1_000}
    written(tmp_path, "two", layer=place)
    [found] = problems_of(tmp_path)
    assert found.startswith(
        "two.yml: layer: shares buckets with one (buckets 0 to 4,999)"
    )
    written(tmp_path, "two", layer=place, starts_at=APRIL)
    assert problems_of(tmp_path)
    written(
        tmp_path,
        "one",
        layer={"name": "top", "first": 0, "count": 5_000},
        stops_at=APRIL,
    )
    assert len(load_definitions(tmp_path)) == 2


def test_a_slot_that_reaches_into_the_layers_hold_out_is_refused(
    tmp_path: Path,
) -> None:
    layers(tmp_path, layers={"top": {"hold_out": 0.1}})
    written(tmp_path, layer={"name": "top", "first": 5_000, "count": 4_001})
    [found] = problems_of(tmp_path)
    assert found.startswith("banner.yml: layer: reaches beyond bucket 8,999")


@pytest.mark.parametrize(
    ("salt", "owner"),
    [
        ("one", "one"),
        ("later", "one"),
        ("hold_out.one", "one"),
        ("layer.top", "layer top"),
        ("all", "everybody's hold-out"),
    ],
)
def test_a_salt_has_one_use(tmp_path: Path, salt: str, owner: str) -> None:
    layers(tmp_path, hold_out={"share": 0.1, "salt": "all"}, layers={"top": {}})
    written(tmp_path, "one", hold_out=0.1, phases=[phase(NOON, salt="later")])
    written(tmp_path, "two", salt=salt)
    assert problems_of(tmp_path) == [
        f"two.yml: salt: is that of {owner}, too; take another"
    ]


def test_an_experiment_may_go_back_to_a_salt_of_its_own(tmp_path: Path) -> None:
    again = [phase(NOON, salt="b"), phase(NOON + timedelta(days=1), salt="banner")]
    assert len(defined(tmp_path, phases=again).phases) == 3


def test_the_key_is_the_name_of_the_file(tmp_path: Path) -> None:
    written(tmp_path).rename(tmp_path / "other.yml")
    assert problems_of(tmp_path) == ["other.yml: key: has to be the file's name, other"]


def test_without_a_folder_there_is_no_experiment(tmp_path: Path) -> None:
    assert load_definitions(tmp_path / "nowhere") == ()


def test_the_shares_of_a_variant_are_whole_buckets(tmp_path: Path) -> None:
    thirds = {"plain": 0.3334, "banner": 0.3333, "big": 0.3333}
    assert sum(defined(tmp_path, variants=thirds).variants.values()) == BUCKET_COUNT

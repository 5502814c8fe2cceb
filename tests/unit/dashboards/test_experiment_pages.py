"""The page of an experiment: interval first, health, no p-value anywhere."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from nearline.dashboards.experiment_pages import (
    ReleasedExperiments,
    page_of,
    render_experiment,
    render_list,
)
from nearline.dashboards.queries import Manifest
from nearline.dashboards.sections.experiments import page_name
from nearline.experiments.decision_record import ExperimentDecision, Finding
from nearline.experiments.definitions import ExperimentDefinition, Phase
from nearline.experiments.metrics import WarehouseKind
from nearline.experiments.registry import Registered
from nearline.experiments.rollout import Standing
from nearline.experiments.warehouse_experiment import analyse
from tests.unit.experiments.released_experiment import draw_units, metric, tables_of

NOW = datetime(2026, 9, 4, tzinfo=UTC)
METRICS = (
    metric("bought", WarehouseKind.PROPORTION, description="Share that bought."),
    metric("spent", WarehouseKind.MEAN, unit="cents"),
    metric("a_visit", WarehouseKind.RATIO),
)
PHASE = Phase(
    0, None, {"a": 5000, "b": 5000}, "x", "bought", ("a_visit",), {"spent": 0.1}
)
DEFINED = ExperimentDefinition(
    key="x",
    hypothesis="More is bought where <b> is said.",
    owner="tests",
    unit="visitor",
    control="a",
    variants=PHASE.variants,
    salt="x",
    primary_metric="bought",
    phases=(PHASE,),
    contaminated="first_seen",
)


def released(
    lift: float, *, counts: tuple[int, int] = (900, 880), decided: bool = False
) -> ReleasedExperiments:
    rng = np.random.default_rng(3)
    arms = {"a": draw_units(rng, counts[0]), "b": draw_units(rng, counts[1], lift=lift)}
    decision = ExperimentDecision(
        "x",
        datetime(2026, 9, 5, tzinfo=UTC),
        "b",
        "It sells more.",
        "ann",
        "v",
        findings=(Finding("bought", "b", 0.1, 0.02, 0.2, "b raises bought"),),
    )
    standing = Standing("shipped" if decided else "running")
    known = Registered(DEFINED, decision if decided else None, standing, PHASE)
    return ReleasedExperiments(
        Manifest("r1", None, None, datetime(2026, 9, 4), {}),
        (analyse(tables_of(arms, METRICS), METRICS, DEFINED, NOW),),
        {"x": known},
        currencies=("EUR",),
    )


def text_of(html: str) -> str:
    """What a reader sees, and what charts and tooltips say; the bundled code is no text."""
    said = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)
    return re.sub(r"</?\w[^>]*>", " ", said)


@pytest.mark.parametrize("lift", [0.5, 0.0, -0.4])
def test_a_page_shows_no_p_value_whatever_it_says(lift: float) -> None:
    shown = released(lift)
    html = text_of(render_experiment(shown.analyses[0], shown) + render_list(shown))

    assert not re.search(r"\bp[\s-]?values?\b|\bp\s*[=<>]|\bp (below|0)\b", html, re.I)
    assert "95\u00a0% interval" in html


def test_the_primary_metric_comes_with_its_interval_first() -> None:
    shown = released(0.5)
    (headline,) = page_of(shown.analyses[0], shown).headlines

    assert re.fullmatch(r"\+\d+\u00a0% to \+\d+\u00a0%", headline.interval)
    assert "95\u00a0% interval" in headline.sentence


def test_a_broken_split_is_said_above_every_figure() -> None:
    shown = released(0.5, counts=(900, 600))
    html = render_experiment(shown.analyses[0], shown)

    assert page_of(shown.analyses[0], shown).is_alarm
    assert "cannot be trusted" in html
    assert html.index("cannot be trusted") < html.index('id="primary"')
    assert "Cannot conclude" in html


def test_groups_come_with_the_note_on_how_many_are_looked_at() -> None:
    shown = released(0.0)
    page = page_of(shown.analyses[0], shown)

    assert page.groups_note.startswith("2 groups are looked at")
    assert [figure.title for figure in page.groups] == ["Device"]


def test_an_effect_that_is_not_settled_is_not_called_none() -> None:
    shown = released(0.0)

    said = " ".join(page_of(shown.analyses[0], shown).meaning)

    assert "not known" in said
    assert "not the same as no effect" in said


def test_words_from_files_cannot_become_markup() -> None:
    shown = released(0.5)

    assert "<b> is said" not in render_experiment(shown.analyses[0], shown)
    assert "where &lt;b&gt; is said" in render_list(shown)


def test_the_list_says_what_was_decided_and_learnt() -> None:
    shown = released(0.5, decided=True)
    html = render_list(shown)

    assert "b for everybody. It sells more." in html
    assert "Bought, b: b raises bought" in html
    assert 'href="x.html"' in html


def test_an_experiment_that_nobody_saw_yet_is_listed_without_a_page() -> None:
    shown = released(0.5)
    html = render_list(replace(shown, analyses=()))

    assert "More is bought" in html
    assert 'href="x.html"' not in html


def test_a_key_cannot_leave_the_folder_of_pages() -> None:
    assert page_name("../index") == "..~2Findex.html"

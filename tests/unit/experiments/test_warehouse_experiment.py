"""Analyses of the marts' sums: equal to those of the units, and honest about bad ones."""

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy import stats

from nearline.experiments.conclusion import Decision
from nearline.experiments.definitions import ExperimentDefinition, Phase
from nearline.experiments.effects import daily_effects, group_effects
from nearline.experiments.metrics import WarehouseKind
from nearline.experiments.warehouse_experiment import (
    Analysis,
    ExperimentTables,
    Sums,
    analyse,
)
from nearline.experiments.warehouse_results import analyse_together, result_rows
from tests.unit.experiments.released_experiment import (
    Units,
    draw_units,
    metric,
    tables_of,
)

NOW = datetime(2026, 9, 4, tzinfo=UTC)
MEAN = metric("spent", WarehouseKind.MEAN)
RATIO = metric("a_visit", WarehouseKind.RATIO)
BOUGHT = metric("bought", WarehouseKind.PROPORTION)


def definition(**changes: object) -> ExperimentDefinition:
    """One of `spent`, with two equal arms."""
    primary = str(changes.pop("primary", "spent"))
    phase = Phase(0, None, {"a": 5000, "b": 5000}, "x", primary, ("a_visit", "bought"))
    fields: dict[str, object] = {
        "key": "x",
        "hypothesis": "More is spent.",
        "owner": "tests",
        "unit": "visitor",
        "control": "a",
        "variants": phase.variants,
        "salt": "x",
        "primary_metric": primary,
        "phases": (phase,),
        "contaminated": "first_seen",
    }
    return ExperimentDefinition(**fields | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def arms() -> dict[str, Units]:
    rng = np.random.default_rng(5)
    return {"a": draw_units(rng, 900), "b": draw_units(rng, 880, lift=0.2)}


def ask(
    tables: ExperimentTables, defined: ExperimentDefinition | None = None
) -> Analysis:
    return analyse(tables, (MEAN, RATIO, BOUGHT), defined, NOW)


def test_without_a_definition_a_mean_is_compared_as_by_scipy(
    arms: Mapping[str, Units],
) -> None:
    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)))

    result = next(one for one in found.answer.results if one.metric == "spent")
    oracle = stats.ttest_ind(arms["b"].value, arms["a"].value, equal_var=False)
    low, high = oracle.confidence_interval(0.95)
    assert result.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    assert (result.ci_low, result.ci_high) == pytest.approx((low, high), rel=1e-9)


def test_with_a_definition_what_was_before_is_taken_out_as_by_least_squares(
    arms: Mapping[str, Units],
) -> None:
    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)), definition())

    x = np.concatenate([arms["a"].before, arms["b"].before])
    y = np.concatenate([arms["a"].value, arms["b"].value])
    slope = np.cov(x, y)[0, 1] / np.var(x, ddof=1)
    adjusted = {name: one.value - slope * one.before for name, one in arms.items()}
    oracle = stats.ttest_ind(adjusted["b"], adjusted["a"], equal_var=False)
    low, high = oracle.confidence_interval(0.95)
    result = next(one for one in found.answer.results if one.metric == "spent")
    assert (result.ci_low, result.ci_high) == pytest.approx((low, high), rel=1e-9)
    assert result.variance_removed is not None
    assert result.variance_removed > 0.3


def test_the_last_day_says_what_the_whole_says(arms: Mapping[str, Units]) -> None:
    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)), definition())

    for result in found.answer.results:
        *_, last = daily_effects(found, result.metric, "b")
        assert last.estimate == pytest.approx(result.estimate, rel=1e-9)
        assert last.ci_low == pytest.approx(result.ci_low, rel=1e-9)


def test_groups_are_those_of_the_table_each_compared_by_itself(
    arms: Mapping[str, Units],
) -> None:
    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)))

    (devices,) = group_effects(found, "spent", "b")
    assert {group.value for group in devices.groups} == {"desktop", "mobile"}
    for group in devices.groups:
        own = {name: u.value[u.group == group.value] for name, u in arms.items()}
        assert group.estimate == pytest.approx(own["b"].mean() - own["a"].mean())
        assert group.drawn_ci_low < group.drawn < group.drawn_ci_high


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (Sums(50, math.nan, 60.0), "not_a_number"),
        (Sums(50, 10.0, -1.0), "negative_sum_of_squares"),
        (Sums(-5, 10.0, 60.0), "negative_count"),
        (Sums(50, 100.0, 10.0), "contradictory_sums"),
        (Sums(50, 100.0, 200.0), "zero_variance"),
        (Sums(1, 2.0, 4.0), "too_few_units"),
        (Sums(0, 0.0, 0.0), "empty_arm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sums_that_cannot_answer_give_a_named_problem_and_no_number(
    broken: Sums, code: str
) -> None:
    good = Sums(50, 100.0, 200.0) if code == "zero_variance" else Sums(50, 100.0, 300.0)
    tables = ExperimentTables(
        "x", (), {"spent": {NOW.date(): {"a": good, "b": broken}}}
    )

    found = analyse(tables, (MEAN,), None, NOW)

    (result,) = found.answer.results
    assert result.problem is not None
    assert result.problem.code == code
    assert result.estimate is None
    assert found.conclusion.decision is Decision.CANNOT_CONCLUDE
    (row,) = result_rows(found)
    assert row.verdict.startswith("cannot conclude: ")


def test_an_arm_of_the_plan_without_a_unit_is_an_empty_arm(
    arms: Mapping[str, Units],
) -> None:
    found = ask(tables_of({"a": arms["a"]}, (MEAN, RATIO, BOUGHT)), definition())

    assert found.answer.unit_counts == {"a": 900, "b": 0}
    problems = {one.problem.code for one in found.answer.results if one.problem}
    assert problems == {"empty_arm"}


def test_a_variant_that_was_not_planned_is_named(arms: Mapping[str, Units]) -> None:
    tables = tables_of({**arms, "c": arms["b"]}, (MEAN, RATIO, BOUGHT))

    found = ask(tables, definition())

    assert "saw variant 'c'" in found.conclusion.sentence
    assert found.conclusion.decision is Decision.CANNOT_CONCLUDE


def test_units_in_two_arms_are_counted_and_said(arms: Mapping[str, Units]) -> None:
    tables = tables_of(arms, (MEAN, RATIO, BOUGHT))
    first, other = tables.exposures
    seen = (replace(first, contaminated_count=90, dropped_count=90), other)

    found = ask(replace(tables, exposures=seen), definition())

    check = next(one for one in found.answer.checks if one.name == "contamination")
    assert check.message.startswith("90 of 1,870 units")
    assert "left out" in check.message


def test_one_planned_look_is_not_taken_before_its_time(
    arms: Mapping[str, Units],
) -> None:
    tables = tables_of(arms, (MEAN, RATIO, BOUGHT))
    running = definition(
        starts_at=datetime(2026, 9, 1, tzinfo=UTC),
        stops_at=datetime(2026, 9, 15, tzinfo=UTC),
    )

    early = analyse(tables, (MEAN, RATIO, BOUGHT), running, NOW)
    at_end = analyse(
        tables, (MEAN, RATIO, BOUGHT), running, datetime(2026, 9, 16, tzinfo=UTC)
    )

    assert early.conclusion.decision is Decision.KEEP_RUNNING
    assert "until 2026-09-15" in early.conclusion.sentence
    assert at_end.conclusion.decision is Decision.SHIP


def test_harm_to_a_guardrail_is_told_before_the_end() -> None:
    rng = np.random.default_rng(8)
    arms = {"a": draw_units(rng, 3000), "b": draw_units(rng, 3000, lift=-0.5)}
    phase = replace(definition().phases[0], metrics=(), guardrails={"a_visit": 0.01})
    running = definition(
        primary="bought",
        phases=(replace(phase, primary_metric="bought"),),
        starts_at=datetime(2026, 9, 1, tzinfo=UTC),
        stops_at=datetime(2026, 9, 15, tzinfo=UTC),
    )

    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)), running)

    assert found.conclusion.decision is Decision.STOP
    assert "guardrail a_visit is worse" in found.conclusion.sentence


@pytest.mark.parametrize(("planned", "is_early"), [(10_000, True), (3_000, False)])
def test_planned_looks_open_with_their_share_of_the_units(
    arms: Mapping[str, Units], planned: int, is_early: bool
) -> None:
    looks = definition(
        horizon="group_sequential", looks=(0.5, 1.0), planned_units=planned
    )

    found = ask(tables_of(arms, (MEAN, RATIO, BOUGHT)), looks)

    codes = [finding.code for finding in found.answer.findings]
    assert codes == (["too_early_to_look"] if is_early else [])


def test_units_of_before_the_weights_changed_are_left_out(
    arms: Mapping[str, Units],
) -> None:
    first = definition().phases[0]
    second = replace(
        first,
        number=1,
        starts_at=datetime(2026, 9, 2, 12, tzinfo=UTC),
        variants={"a": 2000, "b": 8000},
    )
    found = ask(
        tables_of(arms, (MEAN, RATIO, BOUGHT)), definition(phases=(first, second))
    )

    # The day on which it changed is of both phases, so the third day alone counts.
    assert found.answer.unit_counts == {"a": 300, "b": 293}
    assert daily_effects(found, "spent", "b") == ()


def test_each_is_told_how_often_the_others_differed_before_their_start() -> None:
    rng = np.random.default_rng(7)
    drawn = {
        f"x{number}": {
            # Those of x0 were not drawn by chance, those of x9 are too few to tell.
            name: draw_units(rng, 20 if number == 9 else 200, lift=0.1)
            for name in ("a", "b")
        }
        for number in range(10)
    }
    drawn["x0"]["b"] = replace(drawn["x0"]["b"], before=drawn["x0"]["b"].before + 2)
    every = {key: tables_of(arms, (MEAN,), key) for key, arms in drawn.items()}

    found = analyse_together(every, (MEAN,), {}, NOW)

    p_values = {
        key: stats.ttest_ind(arms["a"].before, arms["b"].before, equal_var=False).pvalue
        for key, arms in drawn.items()
        if key != "x9"
    }
    for analysis in found:
        others = [p for key, p in p_values.items() if key != analysis.tables.key]
        check = next(c for c in analysis.answer.checks if c.name == "aa_history")
        differed = sum(p < 0.05 for p in others)
        assert f"things differed before the start in {differed} of {len(others)} " in (
            check.message
        )
    assert p_values["x0"] < 0.05


def test_a_first_experiment_has_no_history(arms: Mapping[str, Units]) -> None:
    (found,) = analyse_together({"x": tables_of(arms, (MEAN,))}, (MEAN,), {}, NOW)

    assert "aa_history" not in {check.name for check in found.answer.checks}

"""How long decisions took, by arm: a guardrail of experiments that decisions assign."""

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from nearline.dashboards.sections.experiment import experiment_page
from nearline.experiments.conclusion import Decision
from nearline.experiments.decision_latency import read_decision_latency
from nearline.experiments.guardrails import GuardrailStatus
from nearline.experiments.metrics import DECISION_LATENCY, WarehouseKind
from nearline.experiments.report import describe
from nearline.experiments.warehouse_experiment import (
    Analysis,
    ExperimentTables,
    Sums,
    analyse,
)
from nearline.experiments.warehouse_results import result_rows
from tests.unit.experiments.released_experiment import draw_units, metric, tables_of
from tests.unit.experiments.test_warehouse_experiment import definition

NOW = datetime(2026, 9, 4, tzinfo=UTC)
SPENT = metric("spent", WarehouseKind.MEAN)
NAME = DECISION_LATENCY.name
Row = dict[str, Any]
COLUMNS = pa.schema(
    {
        "visitor_id": pa.string(),
        "decision_date": pa.date32(),
        "arms": pa.string(),
        "latency_milliseconds": pa.float64(),
        "is_bot": pa.bool_(),
    }
)


def decision(visitor: str, arms: str | None, latency: float | None, **more: Any) -> Row:
    row = {
        "visitor_id": visitor,
        "decision_date": date(2026, 9, 1),
        "arms": arms,
        "latency_milliseconds": latency,
        "is_bot": False,
    }
    return row | more


def read(rows: list[Row]) -> dict[str, Mapping[date, Mapping[str, Sums]]]:
    with duckdb.connect() as connection:
        connection.register("fct_decisions", pa.Table.from_pylist(rows, COLUMNS))
        return dict(read_decision_latency(connection, lambda name: name))


def draw_decisions(slower: float) -> list[Row]:
    """200 visitors an arm, one to six decisions each, a visitor's alike."""
    rng = np.random.default_rng(4)
    return [
        decision(
            f"{arm}{visitor}",
            f'{{"x": "{arm}", "elsewhere": "c"}}',
            round(float(own + more + rng.gamma(2.0, 2.0)), 3),
            decision_date=date(2026, 9, 1 + visitor % 3),
        )
        for arm, more in (("a", 0.0), ("b", slower))
        for visitor in range(200)
        for own in [rng.gamma(4.0, 2.0)]
        for _ in range(1 + visitor % 6)
    ]


def analysed(rows: list[Row], **guardrails: float) -> Analysis:
    rng = np.random.default_rng(5)
    arms = {"a": draw_units(rng, 900), "b": draw_units(rng, 880, lift=0.4)}
    tables = tables_of(arms, (SPENT,))
    phase = replace(definition().phases[0], metrics=(), guardrails=guardrails)
    return analyse(
        replace(tables, decision_latency=read(rows).get("x", {})),
        (SPENT,),
        definition(phases=(phase,)),
        NOW,
    )


def test_it_is_compared_over_visitors_as_welch_does_linearized_values() -> None:
    rows = draw_decisions(slower=3.0)

    found = next(o for o in analysed(rows).answer.results if o.metric == NAME)

    linear, means = {}, {}
    for arm in "ab":
        by_visitor: dict[str, list[float]] = {}
        for row in rows:
            if row["visitor_id"].startswith(arm):
                by_visitor.setdefault(row["visitor_id"], []).append(
                    row["latency_milliseconds"]
                )
        sums = np.array([sum(one) for one in by_visitor.values()])
        counts = np.array([len(one) for one in by_visitor.values()])
        means[arm] = sums.sum() / counts.sum()
        linear[arm] = means[arm] + (sums - means[arm] * counts) / counts.mean()
    oracle = stats.ttest_ind(linear["b"], linear["a"], equal_var=False)
    low, high = oracle.confidence_interval(0.95)
    assert (found.mean, found.control_mean) == pytest.approx((means["b"], means["a"]))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), rel=1e-9)
    assert found.unit_count == 200


@pytest.mark.parametrize(
    ("slower", "named", "status", "decision"),
    [
        (3.0, {}, GuardrailStatus.HELD, Decision.SHIP),
        (40.0, {}, GuardrailStatus.BROKEN, Decision.STOP),
        (40.0, {NAME: 60.0}, GuardrailStatus.HELD, Decision.SHIP),
        (3.0, {NAME: 1.5}, GuardrailStatus.BROKEN, Decision.STOP),
        (20.0, {}, GuardrailStatus.UNCLEAR, Decision.KEEP_RUNNING),
    ],
)
def test_a_slow_arm_does_not_ship_whatever_it_sells(
    slower: float,
    named: dict[str, float],
    status: GuardrailStatus,
    decision: Decision,
) -> None:
    analysis = analysed(draw_decisions(slower), **named)

    (row,) = (one for one in result_rows(analysis) if one.metric_name == NAME)
    assert (row.role, row.guardrail_status) == ("guardrail", status.value)
    assert analysis.conclusion.decision is decision
    if decision is Decision.STOP and not named:
        assert "is worse by more than 20 ms (+" in analysis.conclusion.sentence


def test_it_is_on_the_page_and_in_the_report_in_milliseconds() -> None:
    analysis = analysed(draw_decisions(slower=40.0))

    page = experiment_page(analysis, None, None)
    report = describe(analysis.answer, analysis.question, analysis.conclusion)

    (line,) = page.guardrails
    assert (line.title, line.badge) == ("Time of a decision", "Broken")
    assert line.sentence.startswith("At most 20 ms worse is allowed.")
    assert "ms in control" in line.detail
    assert page.others_figure is not None
    assert "Time of a decision" not in str(page.others_figure)
    assert "Time of a decision (by more than 20 ms)" in dict(page.terms).values()
    assert any(one.startswith(f"{NAME} (guardrail), b against a") for one in report)


def test_its_sums_hang_on_no_order_of_the_decisions() -> None:
    rows = draw_decisions(slower=3.0)
    shuffled = random.Random(1).sample(rows, len(rows))

    assert read(shuffled) == read(rows)


def test_what_was_not_timed_or_not_for_a_person_does_not_count() -> None:
    good = decision("v1", '{"x": "a"}', 5.0)
    found = read(
        [
            good,
            decision("v1", '{"x": "a"}', 900.0, is_bot=True),
            *(
                decision("v1", '{"x": "a"}', latency)
                for latency in (None, -1.0, float("nan"), float("inf"), 1e300)
            ),
            *(
                decision("v1", arms, 900.0)
                for arms in (None, "{}", "[]", '"x"', '{"x": null}', '{"x": "a"')
            ),
        ]
    )

    assert found == {"x": {date(2026, 9, 1): {"a": Sums(1, 5.0, 25.0, 1.0, 1.0, 5.0)}}}


def test_an_arm_without_a_timed_decision_is_empty_and_ships_nothing() -> None:
    rows = [one for one in draw_decisions(0.0) if one["visitor_id"].startswith("a")]

    assert analysed(rows).conclusion.decision is Decision.SHIP
    named = analysed(rows, **{NAME: 20.0})

    (result,) = (one for one in named.answer.results if one.metric == NAME)
    assert result.problem is not None
    assert result.problem.code == "empty_arm"
    assert named.conclusion.decision is Decision.CANNOT_CONCLUDE


def test_an_experiment_that_no_decision_assigns_has_no_such_guardrail() -> None:
    found = analyse(ExperimentTables("x"), (SPENT,), None, NOW)

    assert found.question.guardrails == {}
    assert NAME not in {one.metric for one in analysed([]).answer.results}

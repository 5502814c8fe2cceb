"""Analyses of the warehouse's experiments become the rows of `fct_experiment_results`.

Belongs here: which experiments are analysed, and an analysis as rows. Not here: what is
read and asked (`warehouse_experiment`), or the table of sums alone (`results.analyze`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import InputError
from nearline.experiments.analysis import ArmResult
from nearline.experiments.conclusion import cannot_conclude
from nearline.experiments.decision_latency import read_decision_latency
from nearline.experiments.definitions import ExperimentDefinition, load_definitions
from nearline.experiments.findings import AnalysisError
from nearline.experiments.inference import Comparison, Problem
from nearline.experiments.metrics import (
    ExperimentMetric,
    WarehouseKind,
    load_metrics,
)
from nearline.experiments.results import ExperimentResult, write_rows
from nearline.experiments.sample_ratio import SRM_ALARM_LEVEL
from nearline.experiments.verdict import verdict
from nearline.experiments.warehouse_experiment import (
    Analysis,
    ExperimentTables,
    Relation,
    analyse,
    p_values_before,
    read_tables,
    total_by_variant,
)

if TYPE_CHECKING:
    import duckdb

_SHARES = frozenset({WarehouseKind.PROPORTION, WarehouseKind.RETENTION})


def load_usable_definitions(
    folder: Path,
) -> tuple[dict[str, ExperimentDefinition], str | None]:
    """The definitions by key, or none and what is wrong: data are read all the same."""
    try:
        return {one.key: one for one in load_definitions(folder)}, None
    except InputError as problem:
        return {}, str(problem)


def analyse_all(
    connection: "duckdb.DuckDBPyConnection",
    relation: Relation,
    metrics: Sequence[ExperimentMetric],
    definitions: Mapping[str, ExperimentDefinition],
    now: datetime,
) -> list[Analysis]:
    """Every experiment that has an exposure, by key, as its definition asks."""
    latency = read_decision_latency(connection, relation)
    every = {
        key: replace(tables, decision_latency=latency.get(key, {}))
        for key, tables in read_tables(connection, relation).items()
    }
    return analyse_together(every, metrics, definitions, now)


def analyse_together(
    every: Mapping[str, ExperimentTables],
    metrics: Sequence[ExperimentMetric],
    definitions: Mapping[str, ExperimentDefinition],
    now: datetime,
) -> list[Analysis]:
    """The same of tables that are read; each is told what the others were before."""
    before = {
        key: p_values_before(tables, metrics, definitions.get(key), now)
        for key, tables in every.items()
    }
    return [
        analyse_usable(
            tables,
            metrics,
            definitions.get(key),
            now,
            _of_others(before, key),
        )
        for key, tables in every.items()
    ]


def _of_others(
    before: Mapping[str, Mapping[str, float]], key: str
) -> dict[str, list[float]]:
    """By measure, the p-values of all experiments but `key`."""
    found: dict[str, list[float]] = {}
    for other, p_values in before.items():
        if other != key:
            for measure, p_value in p_values.items():
                found.setdefault(measure, []).append(p_value)
    return found


def analyse_usable(
    tables: ExperimentTables,
    metrics: Sequence[ExperimentMetric],
    definition: ExperimentDefinition | None,
    now: datetime,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Analysis:
    """The analysis; where the definition asks what nobody can answer, one without it that
    concludes nothing but that."""
    try:
        return analyse(tables, metrics, definition, now, history)
    except AnalysisError as refusal:
        bare = analyse(tables, metrics, None, now, history)
        return replace(
            bare,
            definition=definition,
            conclusion=cannot_conclude(refusal.finding.sentence),
        )


def write_warehouse_results(
    connection: "duckdb.DuckDBPyConnection",
    dbt_project: Path,
    definitions: Mapping[str, ExperimentDefinition],
    now: datetime | None,
    out_path: Path,
) -> list[ExperimentResult]:
    """Analyse the warehouse's experiments, write their results as one Parquet file.

    The file is replaced in one step, and written without rows where there is none. `now`
    is up to when the data reach (UTC).
    """
    moment = now or datetime(1970, 1, 1, tzinfo=UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    analyses = analyse_all(
        connection, lambda name: name, load_metrics(dbt_project), definitions, moment
    )
    results = [row for analysis in analyses for row in result_rows(analysis)]
    write_rows(results, out_path)
    return results


def result_rows(analysis: Analysis) -> list[ExperimentResult]:
    """One row per metric and variant other than control, by metric and variant."""
    metrics = {metric.name: metric for metric in analysis.metrics}
    rows = [
        _row(analysis, metrics[result.metric], result)
        for result in analysis.answer.results
    ]
    return sorted(rows, key=lambda row: (row.metric_name, row.variant_key))


def _row(
    analysis: Analysis, metric: ExperimentMetric, result: ArmResult
) -> ExperimentResult:
    answer, question = analysis.answer, analysis.question
    srm = answer.srm_p_value
    has_alarm = srm is not None and srm < SRM_ALARM_LEVEL
    level = question.horizon.confidence_level
    means = _plain_means(analysis, metric)
    return ExperimentResult(
        experiment_key=analysis.tables.key,
        metric_name=metric.name,
        metric_kind=metric.kind.value,
        variant_key=result.variant,
        control_variant_key=answer.control,
        unit_count=result.unit_count or 0,
        control_unit_count=result.control_unit_count or 0,
        # As they are; the estimate may be adjusted by what was before.
        variant_mean=means.get(result.variant, result.mean),
        control_mean=means.get(answer.control, result.control_mean),
        estimate=result.estimate,
        ci_low=result.ci_low,
        ci_high=result.ci_high,
        confidence_level=level,
        p_value=result.p_value,
        relative_lift=result.relative,
        relative_ci_low=result.relative_ci_low,
        relative_ci_high=result.relative_ci_high,
        srm_p_value=srm,
        has_srm_alarm=has_alarm,
        method=result.method,
        verdict=_verdict(analysis, metric, result, has_srm_alarm=has_alarm),
        role=role_of(analysis, metric.name),
        adjusted_p_value=result.adjusted_p_value,
        variance_removed=result.variance_removed,
        guardrail_status=None if result.guardrail is None else result.guardrail.value,
        horizon=question.horizon.name,
        decision=analysis.conclusion.decision.code,
        conclusion=analysis.conclusion.sentence,
    )


def role_of(analysis: Analysis, metric: str) -> str:
    """`primary`, `guardrail` or `secondary`."""
    if metric == analysis.answer.primary_metric:
        return "primary"
    return "guardrail" if metric in analysis.question.guardrails else "secondary"


def _plain_means(
    analysis: Analysis, metric: ExperimentMetric
) -> dict[str, float | None]:
    totals = total_by_variant(analysis.tables, metric.name, analysis.since)
    means: dict[str, float | None] = {}
    for variant, sums in totals.items():
        below = sums.unit_count if sums.denominator is None else sums.denominator
        mean = sums.value / below if below else float("nan")
        means[variant] = mean if mean == mean else None
    return means


def _verdict(
    analysis: Analysis,
    metric: ExperimentMetric,
    result: ArmResult,
    *,
    has_srm_alarm: bool,
) -> str:
    problem = result.problem
    if problem is not None and problem.code != Problem.TOO_FEW_OUTCOMES:
        return f"cannot conclude: {problem.why}, {problem.what_to_do}"
    return verdict(
        metric_name=metric.name,
        metric_kind="proportion" if metric.kind in _SHARES else metric.kind.value,
        variant_key=result.variant,
        control_variant_key=analysis.answer.control,
        unit_count=result.unit_count or 0,
        control_unit_count=result.control_unit_count or 0,
        comparison=Comparison(
            result.method,
            None if problem is None else Problem.TOO_FEW_OUTCOMES,
            result.estimate,
            result.ci_low,
            result.ci_high,
            result.p_value,
        ),
        confidence_level=analysis.question.horizon.confidence_level,
        has_srm_alarm=has_srm_alarm,
        unit=metric.unit or "",
    )

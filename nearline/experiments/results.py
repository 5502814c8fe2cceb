"""From the rows of `fct_experiment_metrics` to those of `fct_experiment_results`.

Belongs here: which arms are compared, the two tables' shapes, reading and writing them.
Not here: the statistics themselves, or what a metric means (SQL says that).
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError
from nearline.experiments.inference import (
    DEFAULT_CONFIDENCE_LEVEL,
    Comparison,
    Problem,
    compare,
)
from nearline.experiments.sample_ratio import SRM_ALARM_LEVEL, srm_p_value
from nearline.experiments.statistics import SufficientStatistics
from nearline.experiments.verdict import verdict
from nearline.replacement import replace_file

CONTROL_VARIANT_KEY = "control"

METRICS_COLUMNS: Mapping[str, pa.DataType] = {
    "experiment_key": pa.string(),
    "variant_key": pa.string(),
    "metric_name": pa.string(),
    "metric_kind": pa.string(),
    "unit_count": pa.int64(),
    "value_sum": pa.float64(),
    "value_sum_squares": pa.float64(),
}
"""What is read of `fct_experiment_metrics`; the days are added up, so not needed."""

_KEYS = ("experiment_key", "variant_key", "metric_name", "metric_kind")

_RESULTS_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("experiment_key", pa.string(), nullable=False),
    pa.field("metric_name", pa.string(), nullable=False),
    pa.field("metric_kind", pa.string(), nullable=False),
    pa.field("variant_key", pa.string(), nullable=False),
    pa.field("control_variant_key", pa.string(), nullable=False),
    pa.field("unit_count", pa.int64(), nullable=False),
    pa.field("control_unit_count", pa.int64(), nullable=False),
    pa.field("variant_mean", pa.float64()),
    pa.field("control_mean", pa.float64()),
    pa.field("estimate", pa.float64()),
    pa.field("ci_low", pa.float64()),
    pa.field("ci_high", pa.float64()),
    pa.field("confidence_level", pa.float64(), nullable=False),
    pa.field("p_value", pa.float64()),
    pa.field("relative_lift", pa.float64()),
    pa.field("relative_ci_low", pa.float64()),
    pa.field("relative_ci_high", pa.float64()),
    pa.field("srm_p_value", pa.float64()),
    pa.field("has_srm_alarm", pa.bool_(), nullable=False),
    pa.field("method", pa.string(), nullable=False),
    pa.field("verdict", pa.string(), nullable=False),
    pa.field("role", pa.string(), nullable=False),
    pa.field("adjusted_p_value", pa.float64()),
    pa.field("variance_removed", pa.float64()),
    pa.field("guardrail_status", pa.string()),
    pa.field("horizon", pa.string(), nullable=False),
    pa.field("decision", pa.string()),
    pa.field("conclusion", pa.string()),
]

RESULTS_SCHEMA = pa.schema(_RESULTS_FIELDS)


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One row per experiment, variant, metric and day of a unit's first exposure."""

    experiment_key: str
    variant_key: str
    metric_name: str
    metric_kind: str
    unit_count: int
    value_sum: float
    value_sum_squares: float
    exposure_date: date | None = None

    @property
    def statistics(self) -> SufficientStatistics:
        return SufficientStatistics(
            self.unit_count, self.value_sum, self.value_sum_squares
        )


@dataclass(frozen=True, slots=True)
class ExperimentResult:
    """One row per experiment, metric and variant other than the control.

    Fields are the columns of `fct_experiment_results`, in order. Means and estimates
    are in the metric's unit, rates and lifts as shares (0.01 is one point).
    """

    experiment_key: str
    metric_name: str
    metric_kind: str
    variant_key: str
    control_variant_key: str
    unit_count: int
    control_unit_count: int
    variant_mean: float | None
    control_mean: float | None
    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    confidence_level: float
    p_value: float | None
    relative_lift: float | None
    relative_ci_low: float | None
    relative_ci_high: float | None
    srm_p_value: float | None
    has_srm_alarm: bool
    method: str
    verdict: str
    role: str = "secondary"
    """`primary`, `guardrail` or `secondary`, as the definition has it."""
    adjusted_p_value: float | None = None
    variance_removed: float | None = None
    guardrail_status: str | None = None
    horizon: str = "fixed"
    decision: str | None = None
    """Of the whole experiment, as `conclusion`, its sentence."""
    conclusion: str | None = None


def analyze(
    rows: Iterable[MetricRow] | pa.Table,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
    expected_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> list[ExperimentResult]:
    """Compare each variant to its experiment's control, on every metric.

    Days are added up. The control is the variant named 'control', else the first by
    alphabet; an experiment with one single variant of another name lacks its control,
    and the result says so. One with nothing but its control gives no result.
    `expected_weights` is experiment -> variant -> weight; default equal. A variant that
    has a weight but no row is an empty arm. Sorted by experiment, metric, variant.
    """
    metric_rows = _rows_of_table(rows) if isinstance(rows, pa.Table) else rows
    parts: dict[tuple[str, str, str], list[SufficientStatistics]] = defaultdict(list)
    kinds: dict[tuple[str, str], set[str]] = defaultdict(set)
    variants: dict[str, set[str]] = defaultdict(set)
    for row in metric_rows:
        metric = (row.experiment_key, row.metric_name)
        parts[(*metric, row.variant_key)].append(row.statistics)
        kinds[metric].add(row.metric_kind)
        variants[row.experiment_key].add(row.variant_key)
    weights_by_experiment = expected_weights or {}
    results: list[ExperimentResult] = []
    for experiment_key, metric_name in sorted(kinds):
        weights = weights_by_experiment.get(experiment_key)
        keys = sorted(variants[experiment_key] | set(weights or ()))
        control_key = choose_control(keys)
        arms = {
            key: SufficientStatistics.total(
                parts.get((experiment_key, metric_name, key), ())
            )
            for key in {*keys, control_key}
        }
        unit_counts = {key: arm.unit_count for key, arm in sorted(arms.items())}
        ratio_p_value = srm_p_value(unit_counts, weights)
        results.extend(
            _result(
                experiment_key,
                metric_name,
                sorted(kinds[experiment_key, metric_name]),
                key,
                control_key,
                arms[key],
                arms[control_key],
                confidence_level,
                ratio_p_value,
            )
            for key in keys
            if key != control_key
        )
    return results


def write_results(
    metrics_path: Path | str,
    out_path: Path | str,
    confidence_level: float = DEFAULT_CONFIDENCE_LEVEL,
    expected_weights: Mapping[str, Mapping[str, float]] | None = None,
) -> list[ExperimentResult]:
    """Read a `fct_experiment_metrics` Parquet, write its results as one Parquet file.

    The file is replaced in one step, and written with the same schema when there is no
    experiment. InputError names a missing path or column.
    """
    source = Path(metrics_path)
    if not source.exists():
        raise InputError(
            f"{source.name}: no such Parquet file; build the metrics first"
        )
    try:
        metrics = pq.read_table(source)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"{source.name}: not a readable Parquet file; build the metrics again"
        ) from error
    results = analyze(metrics, confidence_level, expected_weights)
    write_rows(results, Path(out_path))
    return results


def write_rows(results: Sequence[ExperimentResult], out_path: Path) -> None:
    """Results as one Parquet file, replaced in one step; without rows where none are."""
    table = pa.Table.from_pylist(
        [asdict(result) for result in results], schema=RESULTS_SCHEMA
    )
    replace_file(out_path, lambda file: pq.write_table(table, file))


def choose_control(variant_keys: Sequence[str]) -> str:
    """The variant named 'control', else the first; a lone other one lacks its control.

    Keys are sorted by the caller.
    """
    if CONTROL_VARIANT_KEY in variant_keys or len(variant_keys) < 2:
        return CONTROL_VARIANT_KEY
    return variant_keys[0]


def _result(
    experiment_key: str,
    metric_name: str,
    metric_kinds: list[str],
    variant_key: str,
    control_key: str,
    variant: SufficientStatistics,
    control: SufficientStatistics,
    confidence_level: float,
    ratio_p_value: float | None,
) -> ExperimentResult:
    metric_kind = metric_kinds[0]
    if len(metric_kinds) > 1:
        comparison = Comparison("none", Problem.MIXED_METRIC_KINDS)
    else:
        comparison = compare(metric_kind, variant, control, confidence_level)
    has_srm_alarm = ratio_p_value is not None and ratio_p_value < SRM_ALARM_LEVEL
    return ExperimentResult(
        experiment_key=experiment_key,
        metric_name=metric_name,
        metric_kind=metric_kind,
        variant_key=variant_key,
        control_variant_key=control_key,
        unit_count=variant.unit_count,
        control_unit_count=control.unit_count,
        variant_mean=_mean_or_none(variant),
        control_mean=_mean_or_none(control),
        estimate=comparison.estimate,
        ci_low=comparison.ci_low,
        ci_high=comparison.ci_high,
        confidence_level=confidence_level,
        p_value=comparison.p_value,
        relative_lift=comparison.relative_lift,
        relative_ci_low=comparison.relative_ci_low,
        relative_ci_high=comparison.relative_ci_high,
        srm_p_value=ratio_p_value,
        has_srm_alarm=has_srm_alarm,
        method=comparison.method,
        verdict=verdict(
            metric_name=metric_name,
            metric_kind=metric_kind,
            variant_key=variant_key,
            control_variant_key=control_key,
            unit_count=variant.unit_count,
            control_unit_count=control.unit_count,
            comparison=comparison,
            confidence_level=confidence_level,
            has_srm_alarm=has_srm_alarm,
        ),
    )


def _mean_or_none(arm: SufficientStatistics) -> float | None:
    mean = arm.mean
    return None if arm.is_contradictory or not math.isfinite(mean) else mean


def _rows_of_table(table: pa.Table) -> list[MetricRow]:
    columns: dict[str, list[Any]] = {}
    for name, kind in METRICS_COLUMNS.items():
        if name not in table.column_names:
            raise InputError(f"fct_experiment_metrics lacks column {name} ({kind})")
        column: Any = table.column(name)
        try:
            columns[name] = column.cast(kind).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise InputError(
                f"fct_experiment_metrics.{name} is {column.type}; cast it to {kind}"
            ) from error
        if name in _KEYS and column.null_count:
            raise InputError(
                f"fct_experiment_metrics.{name} holds nulls; give every row a {name}"
            )
    # A missing number becomes NaN: the result of that metric then names the problem,
    # and the other metrics still get theirs.
    return [
        MetricRow(
            experiment_key,
            variant_key,
            metric_name,
            metric_kind,
            unit_count if unit_count is not None else 0,
            _or_nan(value_sum, unit_count),
            _or_nan(value_sum_squares, unit_count),
        )
        for (
            experiment_key,
            variant_key,
            metric_name,
            metric_kind,
            unit_count,
            value_sum,
            value_sum_squares,
        ) in zip(*(columns[name] for name in METRICS_COLUMNS), strict=True)
    ]


def _or_nan(value: float | None, unit_count: int | None) -> float:
    return math.nan if value is None or unit_count is None else value

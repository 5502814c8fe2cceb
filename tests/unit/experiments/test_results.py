"""From metric rows to result rows: which arms are compared, files, and sentences."""

import math
import random
from dataclasses import fields, replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nearline.errors import InputError
from nearline.experiments import (
    RESULTS_SCHEMA,
    ExperimentResult,
    MetricRow,
    SufficientStatistics,
    analyze,
    compare_means,
    compare_proportions,
    write_results,
)
from nearline.experiments.verdict import METRIC_UNITS

METRICS_SCHEMA = pa.schema(
    [
        ("experiment_key", pa.string()),
        ("variant_key", pa.string()),
        ("metric_name", pa.string()),
        ("metric_kind", pa.string()),
        ("exposure_date", pa.date32()),
        ("unit_count", pa.int64()),
        ("value_sum", pa.float64()),
        ("value_sum_squares", pa.float64()),
    ]
)


def conversion(
    variant_key: str, unit_count: int, success_count: float, day: int = 1
) -> MetricRow:
    return MetricRow(
        "button",
        variant_key,
        "conversion",
        "proportion",
        unit_count,
        success_count,
        success_count,
        date(2026, 3, day),
    )


def revenue(
    variant_key: str, unit_count: int, value_sum: float, value_sum_squares: float
) -> MetricRow:
    return MetricRow(
        "button",
        variant_key,
        "revenue_per_visitor",
        "mean",
        unit_count,
        value_sum,
        value_sum_squares,
    )


def metrics_table(rows: list[MetricRow]) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: getattr(row, name) for name in METRICS_SCHEMA.names} for row in rows],
        schema=METRICS_SCHEMA,
    )


def test_days_are_added_up_before_arms_are_compared() -> None:
    rows = [
        conversion("control", 600, 30, day=1),
        conversion("control", 400, 20, day=2),
        conversion("treatment", 500, 40, day=1),
        conversion("treatment", 500, 45, day=2),
    ]
    [result] = analyze(rows)
    expected = compare_proportions(
        SufficientStatistics(1000, 85, 85), SufficientStatistics(1000, 50, 50)
    )
    assert (result.unit_count, result.control_unit_count) == (1000, 1000)
    assert (result.variant_mean, result.control_mean) == (0.085, 0.05)
    assert (result.estimate, result.ci_low, result.ci_high, result.p_value) == (
        expected.estimate,
        expected.ci_low,
        expected.ci_high,
        expected.p_value,
    )
    assert result.srm_p_value == 1.0
    assert not result.has_srm_alarm


def test_every_variant_and_metric_is_compared_to_the_control_in_a_fixed_order() -> None:
    rows = [
        replace(row, experiment_key=key)
        for key in ("zoom", "button")
        for arm in ("control", "b", "a")
        for row in (conversion(arm, 100, 20), revenue(arm, 100, 5e4, 9e7))
    ]
    random.Random(3).shuffle(rows)
    results = analyze(rows)
    assert [(r.experiment_key, r.metric_name, r.variant_key) for r in results] == [
        (experiment, metric, variant)
        for experiment in ("button", "zoom")
        for metric in ("conversion", "revenue_per_visitor")
        for variant in ("a", "b")
    ]
    assert {r.control_variant_key for r in results} == {"control"}
    assert {r.method for r in results} == {"two_proportion_z", "welch_t"}


def test_without_a_variant_named_control_the_first_by_alphabet_is_the_control() -> None:
    [result] = analyze([conversion("new", 100, 20), conversion("current", 100, 10)])
    assert (result.variant_key, result.control_variant_key) == ("new", "current")


def test_row_order_changes_nothing() -> None:
    rows = [
        revenue(arm, 10, 0.1 * day, 0.3 * day**2)
        for arm in ("control", "treatment")
        for day in range(1, 30)
    ]
    shuffled = rows.copy()
    random.Random(7).shuffle(shuffled)
    assert analyze(rows) == analyze(shuffled)


def test_an_arrow_table_gives_the_same_results_as_rows() -> None:
    rows = [
        conversion("control", 1000, 50),
        conversion("treatment", 1000, 85),
        revenue("control", 1000, 5e5, 9e8),
        revenue("treatment", 1000, 6e5, 9e8),
    ]
    assert analyze(metrics_table(rows)) == analyze(rows)


def test_planned_weights_are_used_and_a_planned_arm_without_rows_is_empty() -> None:
    rows = [conversion("control", 900, 90), conversion("treatment", 100, 12)]
    weights = {"button": {"control": 9.0, "treatment": 1.0}}
    assert analyze(rows)[0].has_srm_alarm
    assert not analyze(rows, expected_weights=weights)[0].has_srm_alarm
    [result] = analyze(
        rows[:1], expected_weights={"button": {"control": 1, "treatment": 1}}
    )
    assert result.estimate is None
    assert result.unit_count == 0
    assert result.verdict.startswith("cannot conclude: treatment has no units, ")


def test_a_single_variant_lacks_its_control_and_a_lone_control_has_no_result() -> None:
    [result] = analyze([conversion("treatment", 100, 20)])
    assert result.control_variant_key == "control"
    assert (result.control_unit_count, result.control_mean) == (0, None)
    assert result.verdict.startswith("cannot conclude: control has no units, ")
    assert analyze([conversion("control", 100, 20)]) == []


def test_a_clear_rise_is_told_in_points() -> None:
    [result] = analyze(
        [conversion("control", 10_000, 500), conversion("treatment", 10_000, 730)]
    )
    # By hand: 2.3 points, standard error sqrt(.073*.927/1e4 + .05*.95/1e4) = 0.339.
    assert result.verdict == (
        "treatment raises conversion by 1.6 to 3.0 points (95 % interval)"
    )


def test_a_clear_fall_is_told_with_the_smaller_loss_first() -> None:
    [result] = analyze(
        [conversion("control", 10_000, 730), conversion("treatment", 10_000, 500)]
    )
    assert result.verdict == (
        "treatment lowers conversion by 1.6 to 3.0 points (95 % interval)"
    )


def test_a_mean_is_told_in_its_own_unit() -> None:
    [result] = analyze(
        [revenue("control", 10_000, 5e6, 3e9), revenue("treatment", 10_000, 6e6, 4e9)]
    )
    # By hand: difference 100, variances 5e4 and 4e4, standard error 3, 1.96 * 3 = 5.9.
    assert METRIC_UNITS["revenue_per_visitor"] == "cents"
    assert result.verdict == (
        "treatment raises revenue per visitor by 94 to 106 cents (95 % interval)"
    )


def test_an_interval_that_includes_zero_concludes_nothing() -> None:
    [result] = analyze(
        [conversion("control", 1000, 100), conversion("treatment", 1000, 103)]
    )
    assert result.verdict == (
        "cannot conclude: treatment changes conversion by -2.3 to +2.9 points "
        "(95 % interval), which includes no change, collect more units"
    )


def test_the_verdict_is_withheld_under_a_sample_ratio_alarm() -> None:
    [result] = analyze(
        [conversion("control", 10_000, 500), conversion("treatment", 8_000, 730)]
    )
    assert result.has_srm_alarm
    assert result.verdict == (
        "cannot conclude: the arms' sizes are not as planned (treatment 8,000, "
        "control 10,000), find what loses or doubles units before reading any metric"
    )


def test_interval_and_test_that_disagree_at_the_edge_conclude_nothing() -> None:
    # Uneven arms make the pooled and unpooled errors differ most.
    weights = {"button": {"control": 10_000.0, "treatment": 100.0}}
    for success_count in range(1, 40):
        [result] = analyze(
            [
                conversion("control", 10_000, 1_000),
                conversion("treatment", 100, success_count),
            ],
            expected_weights=weights,
        )
        assert result.ci_low is not None
        assert result.ci_high is not None
        assert result.p_value is not None
        concludes = not result.verdict.startswith("cannot conclude: ")
        excludes_zero = result.ci_low > 0 or result.ci_high < 0
        assert concludes == (excludes_zero and result.p_value < 0.05)


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        (revenue("treatment", 100, math.nan, 1.0), "is not a finite number"),
        (revenue("treatment", 100, 50.0, -1.0), "sum of squares"),
        (revenue("treatment", 100, 50.0, 1.0), "no values can have these sums"),
        (revenue("treatment", 1, 50.0, 2500.0), "at least 2 units"),
        (revenue("treatment", 0, 0.0, 0.0), "treatment has no units"),
        (revenue("treatment", -1, 0.0, 0.0), "unit count"),
        (replace(revenue("treatment", 9, 1, 1), metric_kind="proportion"), "both"),
    ],
)
def test_every_problem_is_told_with_a_reason_and_what_to_do(
    arm: MetricRow, why: str
) -> None:
    [result] = analyze([revenue("control", 100, 50.0, 900.0), arm])
    assert result.estimate is None
    assert result.p_value is None
    assert result.verdict.startswith("cannot conclude: ")
    assert why in result.verdict
    assert result.verdict.count(",") >= 1
    assert "{" not in result.verdict


@pytest.mark.parametrize(
    ("kind", "values", "why"),
    [
        ("mean", (100.0, 100.0), "is the same for every unit"),
        ("proportion", (200.0, 450.0), "values other than 0 and 1"),
        ("ratio", (50.0, 50.0), "kind of"),
        ("proportion", (1.0, 1.0), "too few units with"),
    ],
)
def test_problems_of_both_arms_are_told_too(
    kind: str, values: tuple[float, float], why: str
) -> None:
    rows = [
        MetricRow("button", arm, "clicked", kind, 100, *values)
        for arm in ("control", "treatment")
    ]
    [result] = analyze(rows)
    assert why in result.verdict


def test_a_null_number_spoils_its_own_metric_alone() -> None:
    table = metrics_table(
        [
            conversion("control", 1000, 50),
            conversion("treatment", 1000, 85),
            revenue("control", 1000, 5e5, 9e8),
            revenue("treatment", 1000, 6e5, 9e8),
        ]
    ).to_pylist()
    table[3]["value_sum"] = None
    first, second = analyze(pa.Table.from_pylist(table, schema=METRICS_SCHEMA))
    assert first.estimate is not None
    assert second.estimate is None
    assert second.variant_mean is None


def test_results_have_exactly_the_columns_of_the_published_table() -> None:
    assert [field.name for field in fields(ExperimentResult)] == RESULTS_SCHEMA.names


def test_results_are_written_as_parquet_and_read_back(tmp_path: Path) -> None:
    source, target = tmp_path / "metrics.parquet", tmp_path / "models" / "r.parquet"
    rows = [revenue("control", 1000, 5e5, 9e8), revenue("treatment", 1000, 6e5, 9e8)]
    pq.write_table(metrics_table(rows), source)
    written = write_results(source, target)
    table = pq.read_table(target)
    assert table.schema.equals(RESULTS_SCHEMA)
    assert [ExperimentResult(**row) for row in table.to_pylist()] == written
    assert written[0].estimate == (
        compare_means(rows[1].statistics, rows[0].statistics).estimate
    )
    assert [path.name for path in target.parent.iterdir()] == ["r.parquet"]


def test_no_rows_give_a_file_of_the_same_schema(tmp_path: Path) -> None:
    source, target = tmp_path / "metrics.parquet", tmp_path / "results.parquet"
    pq.write_table(METRICS_SCHEMA.empty_table(), source)
    target.write_bytes(b"what stood here before")
    assert write_results(source, target) == []
    table = pq.read_table(target)
    assert table.num_rows == 0
    assert table.schema.equals(RESULTS_SCHEMA)


def test_decimal_sums_as_duckdb_writes_them_are_read(tmp_path: Path) -> None:
    rows = [conversion("control", 1000, 50), conversion("treatment", 1000, 85)]
    table = metrics_table(rows)
    for name in ("unit_count", "value_sum", "value_sum_squares"):
        index = table.column_names.index(name)
        cast = table.column(name).cast(pa.decimal128(38, 0))
        table = table.set_column(index, name, cast)
    assert analyze(table) == analyze(rows)


def test_a_missing_or_broken_file_or_column_is_named_and_nothing_is_replaced(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "metrics.parquet", tmp_path / "results.parquet"
    target.write_bytes(b"before")
    with pytest.raises(InputError, match=r"metrics\.parquet: no such Parquet file"):
        write_results(source, target)
    source.write_bytes(b"not parquet")
    with pytest.raises(InputError, match="not a readable Parquet file"):
        write_results(source, target)
    full = metrics_table([conversion("control", 10, 5)])
    pq.write_table(full.drop_columns(["value_sum"]), source)
    with pytest.raises(InputError, match="lacks column value_sum"):
        write_results(source, target)
    wrong = pa.array(["many"])
    index = full.column_names.index("unit_count")
    pq.write_table(full.set_column(index, "unit_count", wrong), source)
    with pytest.raises(InputError, match="unit_count is string"):
        write_results(source, target)
    index = full.column_names.index("variant_key")
    null = pa.array([None], pa.string())
    pq.write_table(full.set_column(index, "variant_key", null), source)
    with pytest.raises(InputError, match="variant_key holds nulls"):
        write_results(source, target)
    assert target.read_bytes() == b"before"

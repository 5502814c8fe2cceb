"""A file of units becomes sums, and what is wrong with its rows is named."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nearline.experiments.analysis import Answer, Question, Status, answer
from nearline.experiments.expressions import parse_metrics
from nearline.experiments.findings import AnalysisError
from nearline.experiments.unit_experiment import Columns, read_experiment, winsorize

HEAD = ("user", "arm", "value", "below", "before", "device", "day")


def draw_rows(unit_count: int = 400, seed: int = 1) -> list[list[object]]:
    rng = np.random.default_rng(seed)
    before = rng.normal(10, 2, unit_count)
    value = before + rng.normal(0, 1, unit_count)
    return [
        [
            f"secret-{index}",
            "ab"[index % 2],
            value[index],
            1 + index % 3,
            before[index],
            ("phone", "desk")[index % 4 // 2],
            f"2026-03-{1 + index // 100:02d}",
        ]
        for index in range(unit_count)
    ]


def write(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])
    return path


def ask(
    folder: Path,
    rows: Sequence[Sequence[object]],
    *metrics: str,
    question: Question | None = None,
    **columns: object,
) -> Answer:
    path = write(folder / "units.csv", rows)
    named = Columns("user", "arm", parse_metrics(metrics), **columns)  # type: ignore[arg-type]
    asked = question or Question("a")
    return answer(read_experiment(path, named, asked.weights), asked)


def codes(answered: Answer) -> list[str]:
    """Of the experiment's problems, or of its only result's."""
    if answered.findings:
        return [finding.code for finding in answered.findings]
    return [one.problem.code for one in answered.results if one.problem is not None]


def test_every_kind_of_metric_is_answered(tmp_path: Path) -> None:
    answered = ask(
        tmp_path,
        draw_rows(),
        "m=mean(value)",
        "r=ratio(value,below)",
        "q=quantile(value,0.5)",
        "w=winsorized(value,0.99)",
        covariate="before",
        stratum="device",
        day="day",
        segments=("device",),
    )
    assert {one.metric: one.method for one in answered.results} == {
        "m": "welch_t_cuped_poststratified",
        "r": "ratio_delta_t_cuped_poststratified",
        "q": "quantile_order_statistics",
        "w": "welch_t_cuped_poststratified",
    }
    assert answered.unit_counts == {"a": 200, "b": 200}
    assert answered.srm_p_value == 1.0
    assert [check.name for check in answered.checks] == [
        "sample_ratio",
        "covariate_balance",
        "sample_ratio_by_device",
        "sample_ratio_by_day",
        "outliers",
        "novelty",
    ]
    for one in answered.results:
        assert one.problem is None
        assert one.ci_low < one.estimate < one.ci_high  # type: ignore[operator]


def edit(
    rows: list[list[object]], place: int, column: str, cell: object
) -> list[list[object]]:
    rows[place][HEAD.index(column)] = cell
    return rows


PROBLEMS = {
    "one_arm_alone": (lambda rows: [r for r in rows if r[1] == "a"], "empty_arm"),
    "nothing": (lambda rows: [], "no_units"),
    "one_unit_in_an_arm": (lambda rows: rows[:3], "too_few_units"),
    "no_spread": (
        lambda rows: [[*r[:2], 5, *r[3:]] for r in rows], "zero_variance",
    ),
    "metric_missing": (lambda rows: edit(rows, 7, "value", ""), "missing_values"),
    "metric_nan": (lambda rows: edit(rows, 7, "value", "nan"), "not_a_number"),
    "metric_infinite": (lambda rows: edit(rows, 7, "value", "inf"), "not_a_number"),
    "metric_overflows": (lambda rows: edit(rows, 7, "value", 1e300), "not_a_number"),
    "metric_is_text": (lambda rows: edit(rows, 7, "value", "secret"), "not_numeric"),
    "unit_twice": (lambda rows: [*rows, rows[3]], "duplicated_units"),
    "unit_in_two_arms": (
        lambda rows: [*rows, edit(draw_rows(), 3, "arm", "a")[3]], "units_in_two_arms",
    ),
    "variant_missing": (lambda rows: edit(rows, 7, "arm", ""), "missing_variant"),
    "unit_missing": (lambda rows: edit(rows, 7, "user", ""), "missing_unit"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_is_wrong_is_named_without_a_number_or_a_unit_s_id(
    tmp_path: Path, name: str
) -> None:
    spoil, code = PROBLEMS[name]
    answered = ask(tmp_path, spoil(draw_rows()), "m=mean(value)")
    assert code in codes(answered)
    assert all(one.estimate is one.p_value is None for one in answered.results)
    told = [*answered.findings, *(one.problem for one in answered.results)]
    assert "secret" not in " ".join(f.sentence for f in told if f is not None)


def test_a_spoilt_column_spoils_its_own_metrics_alone(tmp_path: Path) -> None:
    rows = edit(draw_rows(), 7, "below", "")
    first, second = ask(tmp_path, rows, "m=mean(value)", "r=ratio(value,below)").results
    assert first.problem is None
    assert second.problem is not None
    assert second.problem.code == "missing_values"


def test_missing_may_be_declared_to_mean_zero(tmp_path: Path) -> None:
    rows = draw_rows()
    for place in range(0, 400, 5):
        edit(rows, place, "value", "")
    (filled,) = ask(tmp_path, rows, "m=mean(value)", is_missing_zero=True).results
    for place in range(0, 400, 5):
        edit(rows, place, "value", 0)
    (zeros,) = ask(tmp_path, rows, "m=mean(value)").results
    assert filled == zeros


def test_a_ratio_of_nothing_is_named(tmp_path: Path) -> None:
    rows = [[*row[:3], 0, *row[4:]] for row in draw_rows()]
    assert codes(ask(tmp_path, rows, "r=ratio(value,below)")) == ["zero_denominator"]


def test_a_proportion_of_other_values_is_named(tmp_path: Path) -> None:
    assert codes(ask(tmp_path, draw_rows(), "c=proportion(value)")) == [
        "not_a_proportion"
    ]


def test_a_quantile_among_equal_values_is_named(tmp_path: Path) -> None:
    rows = [[*row[:2], 0 if place < 300 else 1, *row[3:]]
            for place, row in enumerate(draw_rows())]  # fmt: skip
    assert codes(ask(tmp_path, rows, "q=quantile(value,0.5)")) == ["zero_variance"]


def test_a_stratum_without_one_arm_is_named(tmp_path: Path) -> None:
    rows = draw_rows()
    for place in (0, 2, 4):
        edit(rows, place, "device", "watch")
    found = ask(tmp_path, rows, "m=mean(value)", stratum="device")
    assert codes(found) == ["empty_stratum"]


@pytest.mark.parametrize("use", [{"segments": ("user",)}, {"stratum": "user"}])
def test_a_column_of_ids_is_refused_as_a_group(
    tmp_path: Path, use: dict[str, object]
) -> None:
    with pytest.raises(AnalysisError, match="400 different values") as error:
        ask(tmp_path, draw_rows(), "m=mean(value)", **use)
    assert "secret" not in str(error.value)


def test_an_arm_of_the_plan_without_rows_is_empty(tmp_path: Path) -> None:
    weights = {"a": 1.0, "b": 1.0, "c": 1.0}
    answered = ask(
        tmp_path, draw_rows(), "m=mean(value)", question=Question("a", weights)
    )
    by_variant = {one.variant: one for one in answered.results}
    assert by_variant["b"].estimate is not None
    assert by_variant["c"].problem is not None
    assert by_variant["c"].problem.code == "empty_arm"
    assert answered.srm_p_value is not None
    assert answered.srm_p_value < 0.001


def test_units_in_two_arms_are_counted_once_in_each_for_the_sample_ratio(
    tmp_path: Path,
) -> None:
    rows = [*draw_rows(), *draw_rows()[:100:2]]
    answered = ask(tmp_path, rows, "m=mean(value)")
    assert answered.unit_counts == {"a": 200, "b": 200}
    assert "50 units are in more than one row" in answered.findings[0].why


def test_a_mean_of_rare_zeros_and_ones_is_told_to_be_rare(tmp_path: Path) -> None:
    rows = [[*row[:2], int(i < 7), *row[3:]] for i, row in enumerate(draw_rows())]
    (one,) = ask(tmp_path, rows, "c=mean(value)").results
    assert one.estimate is not None
    assert one.problem is not None
    assert one.problem.code == "too_few_outcomes"


def test_days_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rows = draw_rows(4000)
    for index, row in enumerate(rows):
        day = 1 + index // 400
        row[HEAD.index("day")] = day
        row[2] += 0.6 * day * (row[1] == "b")  # type: ignore[operator]
    answered = ask(tmp_path, rows, "m=mean(value)", day="day")
    (novelty,) = [check for check in answered.checks if check.name == "novelty"]
    assert novelty.status is Status.WARNING
    # By hand: the slope is 0.6 a day; in the order of text it would look weaker.
    assert novelty.p_value is not None
    assert novelty.p_value < 1e-30


def test_winsorizing_cuts_both_arms_at_one_bound() -> None:
    values = np.arange(101.0)
    assert winsorize(values, 0.9).tolist() == [*range(91), *[90.0] * 10]
    assert winsorize(values - 50, 0.9).min() == -40.0
    assert winsorize(np.array([]), 0.9).size == 0

"""Files of sums: the same answer as the units they were summed from."""

from pathlib import Path

import numpy as np
import pytest

from nearline.experiments.analysis import Answer, Question, answer
from nearline.experiments.findings import AnalysisError
from nearline.experiments.statistics import JointStatistics
from nearline.experiments.summary_experiment import read_summary

PLAIN = "variant,n,sum,sum_squares"
RATIO = f"{PLAIN},denominator_sum,denominator_sum_squares,cross_product"


def ask(folder: Path, *lines: str, question: Question | None = None) -> Answer:
    path = folder / "sums.csv"
    path.write_text("\n".join(lines))
    return answer(read_summary(path), question or Question())


def test_sums_of_parts_answer_as_the_units_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    lines, arms = [f"metric,{RATIO}"], {}
    for variant in ("control", "b"):
        below = 1.0 + rng.poisson(3, 500)
        value = rng.poisson(0.4 * below).astype(float)
        arms[variant] = JointStatistics.from_columns([value, below])
        for part in (slice(0, 200), slice(200, 500)):
            v, d = value[part], below[part]
            lines.append(
                f"ctr,{variant},{len(v)},{v.sum()},{v @ v},{d.sum()},{d @ d},{v @ d}"
            )
            lines.append(f"clicks,{variant},{len(v)},{v.sum()},{v @ v},,,")
    answered = ask(tmp_path, *lines)
    ratio, mean = answered.results
    assert (answered.control, answered.primary_metric) == ("control", "ctr")
    assert (ratio.method, mean.method) == ("ratio_delta_t", "welch_t")
    means = {key: arm.means for key, arm in arms.items()}
    rates = {key: value / below for key, (value, below) in means.items()}
    assert ratio.estimate == pytest.approx(rates["b"] - rates["control"], rel=1e-12)
    assert mean.estimate == pytest.approx(
        means["b"][0] - means["control"][0], rel=1e-12
    )
    weights = {k: (1 / m[1], -m[0] / m[1] ** 2) for k, m in means.items()}
    error = sum(arms[k].covariance_of_sums(w, w) / 500 for k, w in weights.items())
    assert ratio.standard_error == pytest.approx(np.sqrt(error), rel=1e-9)
    assert (ratio.unit_count, mean.unit_count) == (500, 500)


def test_a_proportion_is_said_in_the_column_kind(tmp_path: Path) -> None:
    (one,) = ask(
        tmp_path,
        f"{PLAIN},kind",
        "a,1000,50,50,proportion",
        "b,1000,85,85,proportion",
    ).results
    assert one.method == "two_proportion_z"
    assert one.variant == "b"
    (two,) = ask(tmp_path, f"{PLAIN},kind", "a,9,5,5,rate", "b,9,5,5,rate").results
    assert two.problem is not None
    assert two.problem.code == "unknown_metric_kind"


@pytest.mark.parametrize(
    ("head", "row", "code"),
    [
        (PLAIN, "b,0,0,0", "empty_arm"),
        (PLAIN, "b,1,2,4", "too_few_units"),
        (PLAIN, "b,100,50,-80", "negative_sum_of_squares"),
        (PLAIN, "b,100,50,2", "contradictory_sums"),
        (PLAIN, "b,-100,50,80", "negative_count"),
        (PLAIN, "b,10.5,50,800", "negative_count"),
        (PLAIN, "b,100,nan,80", "not_a_number"),
        (PLAIN, "b,100,,80", "not_a_number"),
        (PLAIN, "b,inf,50,80", "not_a_number"),
        (PLAIN, "b,100,x,80", "not_a_number"),
        (PLAIN, "b,100,50,80\nb,100,50,80", "duplicated_rows"),
        (PLAIN, "b,100,1e154,1e308\nb,101,1e154,1e308", "not_a_number"),
        (RATIO, "b,100,50,80,300,-1000,160", "negative_sum_of_squares"),
        (RATIO, "b,100,50,80,300,10,160", "contradictory_sums"),
        (RATIO, "b,100,50,80,300,1000,900", "contradictory_sums"),
        (RATIO, "b,100,50,80,0,0,0", "zero_denominator"),
        (RATIO, "b,100,50,80,300,1000,", "not_a_number"),
    ],
)
def test_sums_that_no_units_can_have_are_named(
    tmp_path: Path, head: str, row: str, code: str
) -> None:
    good = "a,110,60,85" + (",300,1000,160" if head == RATIO else "")
    answered = ask(tmp_path, head, good, row)
    (one,) = answered.results
    assert one.problem is not None
    assert one.problem.code == code
    assert one.estimate is one.p_value is None


def test_an_unreadable_count_gives_no_sample_ratio(tmp_path: Path) -> None:
    answered = ask(tmp_path, PLAIN, "a,110,60,85", "b,-100,50,80")
    assert answered.srm_p_value is None
    assert answered.unit_counts == {"a": 110, "b": None}


def test_constant_values_are_named(tmp_path: Path) -> None:
    (one,) = ask(tmp_path, PLAIN, "a,100,200,400", "b,100,200,400").results
    assert one.problem is not None
    assert one.problem.code == "zero_variance"


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("variant,n,sum", "no column 'sum_squares'; there are variant, n, sum"),
        (f"{PLAIN},cross_product", "has column 'cross_product' but not 'denominator"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, head: str, says: str) -> None:
    with pytest.raises(AnalysisError, match=says):
        ask(tmp_path, head, "a,1,2,3,4"[: 2 * len(head.split(",")) - 1])


def test_a_row_without_its_variant_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="column 'variant' is missing in 1 rows"):
        ask(tmp_path, PLAIN, "a,110,60,85", ",100,50,80")

"""`nearline experiment analyze`: JSON for machines, a report for people, exit codes."""

import json
import math
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, ttest_ind
from statsmodels.stats.proportion import proportions_ztest

from nearline.errors import InputError
from nearline.experiments.command import experiment
from nearline.experiments.findings import AnalysisError

MEAN = ("--metric", "v=mean(value)")
REQUIRED = ("estimate", "relative", "ci_low", "ci_high", "p_value")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(experiment, ["analyze", *map(str, arguments)])


def run_json(*arguments: object) -> dict[str, object]:
    done = run(*arguments, "--json")
    assert done.exception is None, done.output

    def refuse(word: str) -> object:
        raise AssertionError(f"{word} is no JSON")

    document = json.loads(done.stdout, parse_constant=refuse)
    assert isinstance(document, dict)
    return document


@pytest.fixture
def units(tmp_path: Path) -> tuple[Path, "dict[str, np.ndarray]"]:
    rng = np.random.default_rng(4)
    arm = rng.choice(["a", "b"], 3000)
    before = rng.gamma(2, 5, 3000)
    value = before + rng.normal(1 * (arm == "b"), 3)
    bought = (rng.random(3000) < 0.1).astype(int)
    path = tmp_path / "units.csv"
    rows = zip(arm, value.tolist(), before.tolist(), bought, strict=True)
    lines = [f"u{i},{a},{v!r},{b!r},{c}" for i, (a, v, b, c) in enumerate(rows)]
    path.write_text("\n".join(["user,arm,value,before,bought", *lines]))
    return path, {"arm": arm, "value": value, "before": before, "bought": bought}


def asked(path: Path, *more: object) -> tuple[object, ...]:
    return (
        "--data",
        path,
        "--unit",
        "user",
        "--variant",
        "arm",
        "--control",
        "a",
        *more,
    )


def test_the_json_has_what_the_guide_says(
    units: "tuple[Path, dict[str, np.ndarray]]",
) -> None:
    path, columns = units
    document = run_json(
        *asked(
            path, "--metric", "value=mean(value)", "--metric", "c=proportion(bought)"
        )
    )
    treated = columns["arm"] == "b"
    value = document["metrics"]["value"]["b"]  # type: ignore[index]
    oracle = ttest_ind(
        columns["value"][treated], columns["value"][~treated], equal_var=False
    )
    interval = oracle.confidence_interval()
    assert value["p_value"] == pytest.approx(oracle.pvalue, rel=1e-9)
    assert (value["ci_low"], value["ci_high"]) == pytest.approx(
        (interval.low, interval.high), rel=1e-9
    )
    bought = document["metrics"]["c"]["b"]  # type: ignore[index]
    counts = [columns["bought"][treated].sum(), columns["bought"][~treated].sum()]
    sizes = [treated.sum(), (~treated).sum()]
    assert bought["p_value"] == pytest.approx(
        proportions_ztest(counts, sizes)[1], rel=1e-9
    )
    assert document["srm_p_value"] == pytest.approx(chisquare(sizes).pvalue, rel=1e-9)
    assert document["decision"] == "ship"
    assert document["verdict"].startswith("ship b: ")  # type: ignore[attr-defined]
    assert document["problems"] == []
    for row in (value, bought):
        assert all(math.isfinite(row[name]) for name in REQUIRED)


def test_a_covariate_narrows_the_interval_and_says_by_how_much(
    units: "tuple[Path, dict[str, np.ndarray]]",
) -> None:
    path, columns = units
    plain = run_json(*asked(path, "--metric", "v=mean(value)"))
    adjusted = run_json(
        *asked(path, "--metric", "v=mean(value)", "--covariate", "before")
    )
    one, other = (doc["metrics"]["v"]["b"] for doc in (plain, adjusted))  # type: ignore[index]
    share = np.corrcoef(columns["value"], columns["before"])[0, 1] ** 2
    assert other["variance_removed"] == pytest.approx(share, abs=0.01)
    assert one["variance_removed"] is None
    width, narrow = (row["ci_high"] - row["ci_low"] for row in (one, other))
    assert narrow / width == pytest.approx(math.sqrt(1 - share), abs=0.02)


def test_looking_often_widens_the_interval(
    units: "tuple[Path, dict[str, np.ndarray]]",
) -> None:
    path, _ = units
    widths = []
    for more in ([], ["--looks", "0.25,0.5"], ["--sequential"]):
        document = run_json(*asked(path, "--metric", "v=mean(value)", *more))
        row = document["metrics"]["v"]["b"]  # type: ignore[index]
        widths.append((document["horizon"], row["ci_high"] - row["ci_low"]))
    assert [name for name, _ in widths] == ["fixed", "group_sequential", "always_valid"]
    assert widths[0][1] < widths[1][1] < widths[2][1]


def test_sums_give_the_numbers_of_the_units(
    tmp_path: Path, units: "tuple[Path, dict[str, np.ndarray]]"
) -> None:
    path, columns = units
    lines = ["variant,n,sum,sum_squares"]
    for arm in ("a", "b"):
        values = columns["value"][columns["arm"] == arm]
        lines.append(f"{arm},{len(values)},{values.sum():.17g},{values @ values:.17g}")
    sums = tmp_path / "sums.csv"
    sums.write_text("\n".join(lines))
    of_sums = run_json("--summary", sums)["metrics"]["metric"]["b"]  # type: ignore[index]
    of_units = run_json(*asked(path, "--metric", "v=mean(value)"))["metrics"]["v"]["b"]  # type: ignore[index]
    for name in REQUIRED:
        assert of_sums[name] == pytest.approx(of_units[name], rel=1e-9)


def test_the_report_opens_with_the_verdict_and_shows_no_bare_p_value(
    units: "tuple[Path, dict[str, np.ndarray]]",
) -> None:
    path, _ = units
    done = run(*asked(path, "--metric", "v=mean(value)", "--covariate", "before"))
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Ship b: it makes v better, +")
    assert lines[2].startswith("v (primary), b against a: +")
    for line in lines:
        assert ", p " not in line or " to " in line.partition(", p ")[0]
    assert "units: a 1," in done.stdout
    assert "% of variance removed" in done.stdout


def test_three_arms_are_counted_together(tmp_path: Path) -> None:
    sums = tmp_path / "sums.csv"
    sums.write_text(
        "variant,n,sum,sum_squares\ncontrol,1000,100,100\nb,1000,128,128\nc,1000,105,105"
    )
    by_variant = run_json("--summary", sums)["metrics"]["metric"]  # type: ignore[index]
    assert by_variant["b"]["adjusted_p_value"] == 2 * by_variant["b"]["p_value"]
    looser = run_json("--summary", sums, "--correction", "benjamini-hochberg")
    assert (
        looser["metrics"]["metric"]["c"]["adjusted_p_value"]
        == (  # type: ignore[index]
            by_variant["c"]["p_value"]
        )
    )


def test_a_split_that_is_off_withholds_the_verdict_alone(tmp_path: Path) -> None:
    sums = tmp_path / "sums.csv"
    sums.write_text("variant,n,sum,sum_squares\na,5000,500,500\nb,4000,600,600")
    document = run_json("--summary", sums)
    assert document["srm_status"] == "alarm"
    assert document["decision"] == "cannot_conclude"
    assert document["metrics"]["metric"]["b"]["estimate"] == pytest.approx(0.05)  # type: ignore[index]
    planned = run_json("--summary", sums, "--weights", "a=5,b=4")
    assert planned["decision"] == "ship"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--metric", "v=mean("], "unreadable_metric", "write NAME=mean(COLUMN)"),
        (["--metric", "v=mean(x)"], "missing_column", "there are user, arm, value"),
        ([*MEAN, "--control", "z"], "unknown_control", "a, b"),
        ([], "missing_option", "--data needs --metric"),
        ([*MEAN, "--weights", "a=1"], "missing_weight", "'b'"),
        ([*MEAN, "--weights", "half"], "unreadable_weights", "A="),
        ([*MEAN, "--weights", "a=0,b=0"], "unreadable_weights", "A="),
        ([*MEAN, "--weights", "a=-1,b=2"], "unreadable_weights", "A="),
        ([*MEAN, "--looks", "1,0.5"], "unreadable_looks", "growing"),
        ([*MEAN, "--looks", "x"], "unreadable_looks", "growing"),
        ([*MEAN, "--looks", "1", "--sequential"], "needless_option", "one of"),
        ([*MEAN, "--guardrail", "w=0.1"], "unknown_metric", "there are v"),
        ([*MEAN, "--guardrail", "v"], "unreadable_guardrail", "METRIC="),
        ([*MEAN, "--summary", "x.csv"], "missing_option", "either"),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_asked_is_a_named_problem_and_exit_code_2(
    units: "tuple[Path, dict[str, np.ndarray]]", more: list[str], code: str, says: str
) -> None:
    done = run(*asked(units[0], *more, "--json"))
    assert isinstance(done.exception, InputError)
    assert done.exception.exit_code == 2
    document = json.loads(done.stdout)
    assert document["verdict"].startswith("cannot conclude because ")
    assert document["problems"][0]["code"] == code
    assert says in document["verdict"]
    assert (document["srm_p_value"], document["metrics"]) == (None, {})


@pytest.mark.parametrize("option", ["--unit", "--covariate", "--metric", "--segment"])
def test_an_option_of_units_with_sums_is_a_named_problem(
    tmp_path: Path, option: str
) -> None:
    sums = tmp_path / "sums.csv"
    sums.write_text("variant,n,sum,sum_squares\na,50,5,5\nb,40,6,6")
    done = run("--summary", sums, option, "x", "--json")
    assert json.loads(done.stdout)["problems"][0]["code"] == "needless_option"
    assert option in str(done.exception)


def test_any_bad_cell_is_a_result_and_not_a_failure(
    units: "tuple[Path, dict[str, np.ndarray]]",
) -> None:
    path, _ = units
    path.write_text(path.read_text() + "\nu3000,b,,1,0\n")
    document = run_json(*asked(path, "--metric", "v=mean(value)"))
    assert document["decision"] == "cannot_conclude"
    assert document["problems"] == [
        {
            "code": "missing_values",
            "why": "column 'value' is missing for 1 row",
            "what_to_do": document["problems"][0]["what_to_do"],  # type: ignore[index]
            "metric": "v",
            "variant": "b",
        }
    ]
    assert document["metrics"]["v"]["b"]["estimate"] is None  # type: ignore[index]


CELLS = st.sampled_from(
    [
        "",
        "a",
        "b",
        "1",
        "0",
        "2.5",
        "-3",
        "nan",
        "inf",
        "1e308",
        "x@y.example",
        '"',
        "é",
    ]
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(
        st.tuples(CELLS, st.sampled_from(["", "a", "b", "c"]), CELLS, CELLS),
        max_size=40,
    ),
    st.sampled_from(["mean(m)", "proportion(m)", "ratio(m,d)", "quantile(m,0.5)",
                     "winsorized(m,0.9)"]),
    st.lists(st.sampled_from(["--sequential", "--covariate=d", "--stratum=d", "--day=d",
                              "--segment=d", "--missing=zero", "--control=a",
                              "--weights=a=1,b=1", "--effect=0.1"]), max_size=4),
)  # fmt: skip
def test_any_file_is_an_answer_or_a_named_problem_never_a_failure(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, ...]],
    metric: str,
    more: list[str],
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(map(",".join, [("u", "v", "m", "d"), *rows])))
    named = ("--data", path, "--unit", "u", "--variant", "v", "--metric", f"m={metric}")
    for form in ([], ["--json"]):
        done = run(*named, *more, *form)
        assert done.exception is None or isinstance(done.exception, AnalysisError)
        assert "x@y.example" not in done.output
    document = json.loads(done.stdout, parse_constant=pytest.fail)
    assert document["decision"] in ("ship", "stop", "keep_running", "cannot_conclude")


NUMBERS = st.sampled_from(
    ["", "0", "1", "50", "100", "-5", "2.5", "nan", "inf", "1e308", "1e-300", "x"]
)


@settings(max_examples=250, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), *[NUMBERS] * 6), max_size=5))
def test_any_sums_are_an_answer_or_a_named_problem_never_a_failure(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "sums.csv"
    head = "variant,n,sum,sum_squares,denominator_sum,denominator_sum_squares,cross_product"
    path.write_text("\n".join([head, *map(",".join, rows)]))
    for form in ([], ["--json"]):
        done = run("--summary", path, *form)
        assert done.exception is None or isinstance(done.exception, AnalysisError)
    json.loads(done.stdout, parse_constant=pytest.fail)


def test_the_command_is_a_group_with_help() -> None:
    assert isinstance(experiment, click.Group)
    assert (
        "nearline experiment analyze"
        in CliRunner().invoke(experiment, ["--help"]).output
    )

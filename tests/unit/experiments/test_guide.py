"""docs/experiments.md names every field and every code that the command can print."""

import json
import re
from dataclasses import fields
from pathlib import Path

import click
from click.testing import CliRunner

from nearline.experiments.analysis import ArmResult
from nearline.experiments.command import experiment
from nearline.experiments.definitions import DefinitionForm, load_definitions
from nearline.experiments.expressions import MetricKind
from nearline.experiments.inference import Problem

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "experiments.md").read_text()
NAMED = set(re.findall(r"`([a-z_]+)`", GUIDE))
OF_THE_MARTS = {Problem.MIXED_METRIC_KINDS}


def test_every_field_is_described(tmp_path: Path) -> None:
    sums = tmp_path / "sums.csv"
    sums.write_text("variant,n,sum,sum_squares\na,90,5,5\nb,90,9,9")
    done = CliRunner().invoke(experiment, ["analyze", "--summary", str(sums), "--json"])
    document = json.loads(done.stdout)
    row = document["metrics"]["metric"]["b"]
    assert {field.name for field in fields(ArmResult)} <= set(row)
    described = {*document, *row, *document["checks"][0]} - {"metrics"}
    assert described <= NAMED
    assert "`metrics.NAME.VARIANT`" in GUIDE


def test_every_code_is_listed() -> None:
    codes = {problem.value for problem in Problem if problem not in OF_THE_MARTS}
    for path in (ROOT / "nearline" / "experiments").glob("*.py"):
        codes |= set(
            re.findall(r'(?:AnalysisError|Finding)\(\s*"([a-z_]+)"', path.read_text())
        )
    codes.add("missing_variant")
    assert codes <= NAMED


def test_every_kind_of_metric_is_described() -> None:
    for kind in MetricKind:
        assert f"| `{kind.value}(" in GUIDE


def test_every_option_is_described() -> None:
    explained = set(re.findall(r"--[a-z-]+", GUIDE))
    options = {
        name
        for parameter in experiment.commands["analyze"].params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
    }
    assert options <= explained


def test_the_definition_that_it_shows_is_one_and_names_every_field(
    tmp_path: Path,
) -> None:
    shown, layers = re.findall(r"```yaml\n(version: 1.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "checkout_reassurance.yml").write_text(shown)
    (tmp_path / "_layers.yml").write_text(layers)
    [found] = load_definitions(tmp_path)
    assert [one.variants["treatment"] for one in found.phases] == [1_000, 5_000]
    named = set(re.findall(r"(\w+):", shown))
    assert set(DefinitionForm.model_fields) <= named

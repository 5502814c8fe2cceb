"""The estimate follows the effect that was put in, without reading the truth."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from nearline.experiments import ExperimentResult
from nearline.experiments.warehouse_results import write_warehouse_results
from tests.pipeline import ROOT, Home, simulate

DBT = Path(sys.executable).with_name("dbt")
TABLES = (
    "fct_experiment_metrics",
    "fct_experiment_days",
    "fct_experiment_segments",
    "fct_experiment_values",
    "fct_decisions",
)


@pytest.fixture(scope="module", params=[0.9, 0.0, -0.7])
def recovered(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[float, ExperimentResult, float]:
    """(effect put in, the estimated effect on conversion, the true one)."""
    import json

    effect: float = request.param
    out = tmp_path_factory.mktemp("shop")
    events = simulate(out / "shop", visitors=3_000, days=14, seed=11, effect=effect)
    truth = json.loads((out / "shop" / "truth" / "experiment.json").read_text())
    shutil.rmtree(out / "shop" / "truth")
    home = Home(out / "home")
    home.nearline("ingest", events)
    subprocess.run(
        [
            str(DBT),
            "run",
            "--select",
            *(f"+{table}" for table in TABLES),
            "--target-path",
            str(out / "target"),
            "--log-path",
            str(out / "logs"),
        ],
        cwd=ROOT / "dbt_project",
        env=os.environ | home.environment(),
        check=True,
        capture_output=True,
    )
    with duckdb.connect(str(home.settings.warehouse), read_only=True) as warehouse:
        results = write_warehouse_results(
            warehouse, ROOT / "dbt_project", {}, None, out / "results.parquet"
        )
    conversion = next(r for r in results if r.metric_name == "conversion")
    return effect, conversion, truth["true_effect"]


def test_interval_holds_the_true_effect(
    recovered: tuple[float, ExperimentResult, float],
) -> None:
    _, conversion, true_effect = recovered

    assert conversion.ci_low is not None
    assert conversion.ci_high is not None
    assert conversion.ci_low <= true_effect <= conversion.ci_high


def test_conclusion_has_the_sign_of_the_effect(
    recovered: tuple[float, ExperimentResult, float],
) -> None:
    effect, conversion, _ = recovered
    assert conversion.ci_low is not None
    assert conversion.ci_high is not None

    if effect == 0:
        assert conversion.ci_low < 0 < conversion.ci_high
        assert conversion.verdict.startswith("cannot conclude")
    elif effect > 0:
        assert conversion.ci_low > 0
    else:
        assert conversion.ci_high < 0

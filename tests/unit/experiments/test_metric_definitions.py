"""Metrics of the dbt project as Python reads them, and what is refused."""

from pathlib import Path

import pytest

from nearline.errors import InputError
from nearline.experiments.metrics import WarehouseKind, load_metrics

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"

MODELS = """
semantic_models:
  - name: events
    measures: [{name: purchases, agg: sum}, {name: visits, agg: sum}]
"""
BOUGHT = """
metrics:
  - name: bought
    type: simple
    type_params: {measure: purchases}
    config: {meta: {experiment: {EXPERIMENT}}}
"""


def _folder(tmp_path: Path, metrics: str) -> Path:
    (tmp_path / "models.yml").write_text(MODELS)
    (tmp_path / "of_shop.yml").write_text(metrics)
    return tmp_path


def test_the_project_has_a_metric_of_every_kind() -> None:
    metrics = load_metrics(PROJECT)

    assert {metric.kind for metric in metrics} == set(WarehouseKind)
    assert {"conversion", "conversion_rate", "bounce_rate"} <= {m.name for m in metrics}


def test_a_ratio_is_of_the_measures_of_its_simple_metrics(tmp_path: Path) -> None:
    metrics = """
metrics:
  - {name: buys, type: simple, type_params: {measure: purchases}}
  - {name: trips, type: simple, type_params: {measure: {name: visits}}}
  - name: rate
    label: Rate
    type: ratio
    type_params: {numerator: buys, denominator: trips}
    config: {meta: {experiment: {kind: ratio, better: lower}}}
"""
    (metric,) = load_metrics(_folder(tmp_path, metrics))

    assert (metric.measure, metric.denominator) == ("purchases", "visits")
    assert metric.is_lower_better


@pytest.mark.parametrize(
    ("experiment", "named"),
    [
        ("kind: median", "of_shop.yml: metric bought: kind: is median"),
        ("kind: mean, share: 0.5", "share: mean has no such field"),
        ("kind: quantile, share: 0.5", "step: quantile needs a number"),
        ("kind: quantile, share: 2, step: 1", "share: must lie between 0 and 1"),
        ("kind: revenue, winsorize_at: -1", "winsorize_at: must be above 0"),
        ("kind: retention, from_day: 7, to_day: 1", "from_day: must not be after"),
        ("kind: mean, better: more", "better: write higher or lower"),
        ("kind: ratio", "type: a ratio has kind and type ratio"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_field(
    tmp_path: Path, experiment: str, named: str
) -> None:
    folder = _folder(tmp_path, BOUGHT.replace("EXPERIMENT", experiment))

    with pytest.raises(InputError) as refusal:
        load_metrics(folder)

    assert named in str(refusal.value)


def test_a_measure_that_no_table_has_is_refused(tmp_path: Path) -> None:
    metrics = BOUGHT.replace("EXPERIMENT", "kind: mean").replace("purchases", "sales")

    with pytest.raises(InputError, match="no semantic model has a measure sales"):
        load_metrics(_folder(tmp_path, metrics))

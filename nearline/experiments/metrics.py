"""Metrics as the dbt project defines them, for whoever reads an experiment in Python.

Belongs here: the YAML of `models/metrics/` as plain values, and what in it cannot be used.
Not here: how a unit's value is computed, which SQL does from the same YAML (the macro
`experiment_metrics`), or the statistics of a kind (`analysis`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from nearline.errors import InputError

METRICS_FOLDER = Path("models") / "metrics"
"""Of the metrics, within the dbt project."""


class WarehouseKind(StrEnum):
    """How a unit's value comes from what it did since its first exposure."""

    PROPORTION = "proportion"
    """1 where the measure is above 0."""
    MEAN = "mean"
    COUNT = "count"
    """As a mean, of things that are counted."""
    REVENUE = "revenue"
    """As a mean, of values cut down to `winsorize_at`."""
    RATIO = "ratio"
    """Numerator over denominator, each summed over the unit's rows."""
    RETENTION = "retention"
    """1 where the measure is above 0 on one of the days `from_day` to `to_day` after."""
    TIME_TO_EVENT = "time_to_event"
    """Hours to the first row with the measure, at most `within_hours`."""
    QUANTILE = "quantile"
    """The value that a `share` of the units does not exceed, to a `step`."""


_NUMBERS: Mapping[WarehouseKind, tuple[str, ...]] = {
    WarehouseKind.REVENUE: ("winsorize_at",),
    WarehouseKind.RETENTION: ("from_day", "to_day"),
    WarehouseKind.TIME_TO_EVENT: ("within_hours",),
    WarehouseKind.QUANTILE: ("share", "step"),
}
_WORDS = {"kind", "better", "unit"}


@dataclass(frozen=True, slots=True)
class ExperimentMetric:
    """One metric of experiments.

    `measure` is what is summed per unit, of a ratio the numerator's; `unit` is `cents`,
    `seconds`, `hours` or None. `parameters` are the numbers of its kind.
    """

    name: str
    label: str
    description: str
    kind: WarehouseKind
    measure: str
    denominator: str | None = None
    is_lower_better: bool = False
    unit: str | None = None
    parameters: Mapping[str, float] | None = None


DECISION_LATENCY = ExperimentMetric(
    "decision_latency_ms",
    "Time of a decision",
    "Milliseconds from question to answer, mean of all decisions made in the arm.",
    WarehouseKind.RATIO,
    "decision_latency_milliseconds",
    "decisions",
    is_lower_better=True,
    unit="milliseconds",
)
"""A guardrail of every experiment that decisions assign; none of the YAML's, since the
tables of sums start with exposures and decisions are made before them."""


def load_metrics(folder: Path) -> tuple[ExperimentMetric, ...]:
    """Every metric with `meta.experiment`, in the order of the files.

    `folder` is the dbt project or its folder of metrics. InputError names file, metric
    and what to mend.
    """
    if (folder / METRICS_FOLDER).is_dir():
        folder = folder / METRICS_FOLDER
    measures: set[str] = set()
    described: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(folder.glob("*.yml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise InputError(f"{path.name}: does not read as YAML; mend it") from error
        for model in content.get("semantic_models") or ():
            measures |= {measure["name"] for measure in model.get("measures") or ()}
        described += [(path.name, one) for one in content.get("metrics") or ()]
    simple = {
        one["name"]: _measure_name(one)
        for _, one in described
        if one.get("type") == "simple"
    }
    found = tuple(
        _metric(file, one, experiment, simple, measures)
        for file, one in described
        if (experiment := _experiment_meta(one)) is not None
    )
    names = [metric.name for metric in found]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"metric {name} is defined twice; give each its own name")
        if name == DECISION_LATENCY.name:
            raise InputError(f"metric {name} is there already; give yours another name")
    return found


def _experiment_meta(described: Mapping[str, Any]) -> dict[str, Any] | None:
    meta = (described.get("config") or {}).get("meta") or described.get("meta") or {}
    experiment: dict[str, Any] | None = meta.get("experiment")
    return experiment


def _measure_name(described: Mapping[str, Any]) -> str:
    measure = (described.get("type_params") or {}).get("measure")
    return str(measure["name"] if isinstance(measure, dict) else measure)


def _metric(
    file: str,
    described: Mapping[str, Any],
    experiment: Mapping[str, Any],
    simple: Mapping[str, str],
    measures: set[str],
) -> ExperimentMetric:
    name = str(described["name"])

    def refused(field: str, fix: str) -> InputError:
        return InputError(f"{file}: metric {name}: {field}: {fix}")

    word = experiment.get("kind")
    if word not in set(WarehouseKind):
        raise refused("kind", f"is {word}; write one of {', '.join(WarehouseKind)}")
    kind = WarehouseKind(word)
    numbers = _NUMBERS.get(kind, ())
    for field in experiment:
        if field not in _WORDS and field not in numbers:
            raise refused(field, f"{kind} has no such field; take it out")
    parameters = {}
    for field in numbers:
        number = experiment.get(field)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise refused(field, f"{kind} needs a number here")
        parameters[field] = float(number)
    _require_sense(kind, parameters, refused)
    better = experiment.get("better", "higher")
    if better not in {"higher", "lower"}:
        raise refused("better", "write higher or lower")
    is_ratio = kind is WarehouseKind.RATIO
    if (described.get("type") == "ratio") is not is_ratio:
        raise refused("type", "a ratio has kind and type ratio, any other type simple")
    denominator = None
    if is_ratio:
        parts = described.get("type_params") or {}
        for part in ("numerator", "denominator"):
            if parts.get(part) not in simple:
                raise refused(part, f"there is no simple metric {parts.get(part)}")
        measure = simple[parts["numerator"]]
        denominator = simple[parts["denominator"]]
    else:
        measure = _measure_name(described)
    for one in (measure, denominator):
        if one is not None and one not in measures:
            raise refused("measure", f"no semantic model has a measure {one}")
    return ExperimentMetric(
        name,
        str(described.get("label") or name),
        str(described.get("description") or "").strip(),
        kind,
        measure,
        denominator,
        better == "lower",
        experiment.get("unit"),
        parameters or None,
    )


def _require_sense(
    kind: WarehouseKind, numbers: Mapping[str, float], refused: Any
) -> None:
    for field, number in numbers.items():
        if field == "share" and not 0 < number < 1:
            raise refused(field, "must lie between 0 and 1")
        if field != "share" and not number > 0:
            raise refused(field, "must be above 0")
    if kind is WarehouseKind.RETENTION and numbers["from_day"] > numbers["to_day"]:
        raise refused("from_day", "must not be after to_day")

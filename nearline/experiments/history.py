"""What an experiment would have to go by: its units and metrics in the published tables.

Belongs here: a metric's value per unit over a window that has passed, how much of it the
window before explains, and how many units a day may be in an experiment. Not here: what
follows for a plan (`definition_plan`), or what an experiment that ran has shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nearline.errors import InputError
from nearline.experiments.assignment import BUCKET_COUNT
from nearline.experiments.baseline import Baseline
from nearline.experiments.definitions import ExperimentDefinition, Unit
from nearline.experiments.metrics import (
    METRICS_FOLDER,
    ExperimentMetric,
    WarehouseKind,
)
from nearline.experiments.power import deviation_of_ratio
from nearline.experiments.statistics import JointStatistics
from nearline.publication.tables import scan, table_path
from nearline.settings import Settings
from nearline.sql_text import literal

if TYPE_CHECKING:
    import numpy as np

PLANNABLE = (
    WarehouseKind.PROPORTION,
    WarehouseKind.MEAN,
    WarehouseKind.COUNT,
    WarehouseKind.REVENUE,
    WarehouseKind.RATIO,
)
"""Kinds of metrics that have a plan by formula."""

_LEAST_UNITS = 30


@dataclass(frozen=True, slots=True)
class Traffic:
    """Units of a window of whole days, and how many of them may be in the experiment."""

    first_day: date
    last_day: date
    units_per_day: float
    eligible_units_per_day: float

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1


@dataclass(frozen=True, slots=True)
class MetricHistory:
    """A metric over the window.

    `variance_removed` is the share of its variance that the same metric in as long a
    window before explains, None where there is no such window.
    """

    metric: str
    baseline: Baseline
    unit_count: int
    variance_removed: float | None

    @property
    def adjusted(self) -> Baseline | None:
        """The baseline once the value of before has been taken into account."""
        if self.variance_removed is None:
            return None
        left = (1 - self.variance_removed) ** 0.5
        return Baseline(self.baseline.level, self.baseline.standard_deviation * left)


class History:
    """The published tables, asked about one window; close it with `with`.

    Raises InputError where nothing is published yet.
    """

    def __init__(self, settings: Settings, definition: ExperimentDefinition, days: int):
        import duckdb

        self._release = settings.published.resolve()
        if not table_path(self._release, "fct_events").exists():
            raise InputError("nothing is published yet; run `nearline run` first")
        self._definition = definition
        self._measures = _measures(settings.dbt_project / METRICS_FOLDER)
        self._connection: duckdb.DuckDBPyConnection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        # The last day has seldom ended when a release is made.
        [(first, last)] = self._rows(
            f"""
            select min(event_date), max(event_date) - 1
            from {scan(self._release, "fct_events")}
            where not is_bot and session_id is not null
            """
        )
        if first is None or last < first:
            self._connection.close()
            raise InputError(
                "the published events span less than a day; plan with --rate or --mean"
            )
        begin = max(first, last - timedelta(days=days - 1))
        before = begin - timedelta(days=(last - begin).days + 1)
        self._window = (begin, last)
        self._before = (before, begin - timedelta(days=1)) if before >= first else None
        self._units = self._units_sql(begin, last)

    def __enter__(self) -> "History":
        return self

    def __exit__(self, *failure: object) -> None:
        self._connection.close()

    def traffic(self) -> Traffic:
        """Units of the window a day: each counts once, on whatever day it came."""
        [(everybody,)] = self._rows(
            f"select count(*) from ({self._units_sql(*self._window, is_targeted=False)})"
        )
        [(eligible,)] = self._rows(f"select count(*) from ({self._units})")
        first, last = self._window
        days = (last - first).days + 1
        share = _assigned_share(self._definition)
        return Traffic(first, last, everybody / days, eligible * share / days)

    def metric(self, metric: ExperimentMetric) -> MetricHistory:
        """A metric of the units that may be in the experiment.

        Raises:
            InputError: there is no plan for its kind, or too little to plan by.
        """
        if metric.kind not in PLANNABLE:
            raise InputError(
                f"metric {metric.name}: a {metric.kind} has no plan by formula; plan "
                "with a proportion, mean or ratio"
            )
        measures = [metric.measure]
        if metric.denominator is not None:
            measures.append(metric.denominator)
        values = self._values(metric, measures, self._window)
        statistics = JointStatistics.from_columns(values)
        if statistics.unit_count < _LEAST_UNITS:
            raise InputError(
                f"metric {metric.name}: {statistics.unit_count} units in the history are "
                f"too few to plan by, {_LEAST_UNITS} are needed; give --days, or plan "
                "with --rate or --mean"
            )
        is_ratio = metric.kind is WarehouseKind.RATIO
        level = statistics.means[0]
        if is_ratio:
            level = level / statistics.means[1] if statistics.means[1] > 0 else 0.0
        deviation = 0.0
        if level > 0:
            deviation = (
                deviation_of_ratio(statistics)
                if is_ratio
                else statistics.covariance(0, 0) ** 0.5
            )
        if not deviation > 0:
            raise InputError(
                f"metric {metric.name}: nothing of it happened in the history, or the "
                "same to everybody; give --days, or plan with --rate or --mean"
            )
        baseline = Baseline(level, deviation, metric.kind is WarehouseKind.PROPORTION)
        removed = None
        if self._before is not None and not is_ratio:
            [before] = self._values(metric, measures, self._before)
            removed = _squared_correlation(values[0], before)
        return MetricHistory(metric.name, baseline, statistics.unit_count, removed)

    def _values(
        self,
        metric: ExperimentMetric,
        measures: list[str],
        window: tuple[date, date],
    ) -> "list[np.ndarray[Any, Any]]":
        """Each measure's sum of every unit, 0 of who did nothing, in one order."""
        import numpy as np

        id_column = _id_column(self._definition.analysed_by)
        columns: list[np.ndarray[Any, Any]] = []
        for name in measures:
            measure = self._measures[name]
            found = self._connection.execute(
                f"""
                    with

                    units as ({self._units}),

                    sums as (
                        select {id_column} as unit_id, sum({measure.expression}) as total
                        from {scan(self._release, measure.table)}
                        where
                            {measure.where}
                            and cast({measure.at} as date)
                            between '{window[0]}' and '{window[1]}'
                        group by {id_column}
                    )

                    select cast(coalesce(total, 0) as double) as total
                    from units
                    left join sums on units.unit_id = sums.unit_id
                    order by units.unit_id
                    """
            ).fetchnumpy()
            columns.append(np.asarray(found["total"], dtype=float))
        if metric.kind is WarehouseKind.PROPORTION:
            return [(columns[0] > 0).astype(float)]
        if metric.kind is WarehouseKind.REVENUE:
            highest = (metric.parameters or {})["winsorize_at"]
            return [columns[0].clip(max=highest)]
        return columns

    def _units_sql(self, first: date, last: date, *, is_targeted: bool = True) -> str:
        """Who could have been in it: seen in the window, with what is asked for."""
        id_column = _id_column(self._definition.analysed_by)
        asked = self._definition.eligibility
        conditions = [
            "not is_bot",
            "session_id is not null",
            f"event_date between '{first}' and '{last}'",
        ]
        if is_targeted:
            conditions += [f"has_{one}_consent" for one in sorted(asked.consents)]
        if is_targeted and asked.segments:
            names = ", ".join(literal(one) for one in asked.segments)
            conditions.append(
                "person_id in (select person_id from "
                f"{scan(self._release, 'fct_segments')} "
                f"where is_current and segment in ({names}))"
            )
        return (
            f"select distinct {id_column} as unit_id from "
            f"{scan(self._release, 'fct_events')} where {' and '.join(conditions)}"
        )

    def _rows(self, sql: str) -> list[Any]:
        return self._connection.execute(sql).fetchall()


@dataclass(frozen=True, slots=True)
class _Measure:
    table: str
    expression: str
    where: str
    at: str


def _measures(folder: Path) -> Mapping[str, _Measure]:
    """Measures of the semantic layer, with the table that each is summed from."""
    found = {}
    for path in sorted(folder.glob("*.yml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for model in content.get("semantic_models") or ():
            said = ((model.get("config") or {}).get("meta") or {}).get("experiment")
            if not said:
                continue
            table = model["model"].removeprefix("ref('").removesuffix("')")
            for measure in model.get("measures") or ():
                found[measure["name"]] = _Measure(
                    table, measure.get("expr") or measure["name"], *_rows_of(said)
                )
    return found


def _rows_of(said: Mapping[str, str]) -> tuple[str, str]:
    return said.get("where") or "true", said["at"]


def _id_column(unit: Unit) -> str:
    return f"{unit}_id"


def _assigned_share(definition: ExperimentDefinition) -> float:
    """The share of those who are eligible that the first phase gives a variant."""
    share = sum(definition.variants.values()) / BUCKET_COUNT
    if definition.layer is not None:
        share *= definition.layer.count / BUCKET_COUNT
    for held in definition.hold_outs:
        share *= 1 - held.count / BUCKET_COUNT
    return share


def _squared_correlation(
    values: "np.ndarray[Any, Any]", before: "np.ndarray[Any, Any]"
) -> float:
    """What a line through the values of before explains of the variance now."""
    joint = JointStatistics.from_columns([values, before])
    of_before = joint.covariance(1, 1)
    if not of_before > 0:
        return 0.0
    explained = joint.covariance(0, 1) ** 2 / (of_before * joint.covariance(0, 0))
    return min(max(explained, 0.0), 1.0)

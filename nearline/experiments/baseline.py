"""What a metric is before an experiment: from two numbers, or from a file of history."""

from dataclasses import dataclass
from pathlib import Path

from nearline.experiments.expressions import MetricExpression, MetricKind
from nearline.experiments.findings import AnalysisError, Finding, find_for
from nearline.experiments.inference import Problem
from nearline.experiments.power import deviation_of_proportion, deviation_of_ratio
from nearline.experiments.statistics import JointStatistics
from nearline.experiments.unit_experiment import values_of
from nearline.experiments.unit_file import read_unit_file


@dataclass(frozen=True, slots=True)
class Baseline:
    """A metric's level, and the standard deviation of one unit's (linearized) value."""

    level: float
    standard_deviation: float
    is_proportion: bool = False

    def deviation_at(self, lift: float) -> float:
        """Standard deviation once the level has changed by a relative `lift`.

        A proportion's follows its level; any other is taken to stay as it is.
        """
        if not self.is_proportion:
            return self.standard_deviation
        return deviation_of_proportion(self.level * (1 + lift))


def read_baseline(
    path: Path, metric: MetricExpression, *, is_missing_zero: bool = False
) -> Baseline:
    """From history, one row per unit, over as long a time as a unit will be observed.

    AnalysisError names a column that cannot be used, or a metric without a plan.
    """
    if metric.kind is MetricKind.QUANTILE:
        raise AnalysisError(
            "unplanned_kind",
            "a quantile has no plan by formula",
            "plan with mean(...) or proportion(...) of the same column",
        )
    file = read_unit_file(path, metric.columns)
    fill = 0.0 if is_missing_zero else None
    values = values_of(metric, [file.numbers(name, fill) for name in metric.columns])
    if isinstance(values, Finding):
        raise AnalysisError.of(values)
    history = JointStatistics.from_columns(values)
    if history.unit_count < 2:
        raise _refusal(Problem.TOO_FEW_UNITS, metric.name)
    if metric.kind is MetricKind.RATIO:
        if not history.means[1] > 0:
            raise _refusal(Problem.ZERO_DENOMINATOR, metric.name)
        level = history.means[0] / history.means[1]
        deviation = deviation_of_ratio(history)
    else:
        level, deviation = history.means[0], history.covariance(0, 0) ** 0.5
    if not deviation > 0:
        raise _refusal(Problem.ZERO_VARIANCE, metric.name)
    return Baseline(level, deviation, metric.kind is MetricKind.PROPORTION)


def _refusal(problem: Problem, name: str) -> AnalysisError:
    return AnalysisError.of(find_for(problem, name))

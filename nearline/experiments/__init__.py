"""Inference on experiments: from sufficient statistics to an interval and a sentence.

Assignment and exposure are events, and the sums per variant are SQL: neither is here.
"""

from nearline.experiments.inference import (
    Comparison,
    Problem,
    compare,
    compare_means,
    compare_proportions,
)
from nearline.experiments.results import (
    METRICS_COLUMNS,
    RESULTS_SCHEMA,
    ExperimentResult,
    MetricRow,
    analyze,
    write_results,
)
from nearline.experiments.sample_ratio import SRM_ALARM_LEVEL, srm_p_value
from nearline.experiments.statistics import SufficientStatistics

__all__ = [
    "METRICS_COLUMNS",
    "RESULTS_SCHEMA",
    "SRM_ALARM_LEVEL",
    "Comparison",
    "ExperimentResult",
    "MetricRow",
    "Problem",
    "SufficientStatistics",
    "analyze",
    "compare",
    "compare_means",
    "compare_proportions",
    "srm_p_value",
    "write_results",
]

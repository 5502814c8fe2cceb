"""Inference on experiments: from sufficient statistics to an interval and a sentence.

Who sees which variant is `assignment`; exposures are events, and the sums per variant
are SQL: neither of those is here.
"""

from nearline.experiments.estimators import (
    ArmEstimates,
    Layout,
    Stratum,
    estimate_arms,
)
from nearline.experiments.guardrails import GuardrailStatus, judge_guardrail
from nearline.experiments.inference import (
    ArmEstimate,
    Comparison,
    FixedHorizon,
    Horizon,
    Problem,
    compare,
    compare_estimates,
    compare_means,
    compare_proportions,
    homogeneity_p_value,
)
from nearline.experiments.multiplicity import adjust_benjamini_hochberg, adjust_holm
from nearline.experiments.posterior import Posterior, update_belief
from nearline.experiments.power import (
    SampleSize,
    detectable_effect,
    deviation_of_proportion,
    deviation_of_ratio,
    plan_sample_size,
    power_of,
)
from nearline.experiments.quantiles import (
    QuantileInterval,
    estimate_quantile,
    quantile_interval,
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
from nearline.experiments.sequential import AlwaysValid, GroupSequential, Spending
from nearline.experiments.statistics import JointStatistics, SufficientStatistics

__all__ = [
    "METRICS_COLUMNS",
    "RESULTS_SCHEMA",
    "SRM_ALARM_LEVEL",
    "AlwaysValid",
    "ArmEstimate",
    "ArmEstimates",
    "Comparison",
    "ExperimentResult",
    "FixedHorizon",
    "GroupSequential",
    "GuardrailStatus",
    "Horizon",
    "JointStatistics",
    "Layout",
    "MetricRow",
    "Posterior",
    "Problem",
    "QuantileInterval",
    "SampleSize",
    "Spending",
    "Stratum",
    "SufficientStatistics",
    "adjust_benjamini_hochberg",
    "adjust_holm",
    "analyze",
    "compare",
    "compare_estimates",
    "compare_means",
    "compare_proportions",
    "detectable_effect",
    "deviation_of_proportion",
    "deviation_of_ratio",
    "estimate_arms",
    "estimate_quantile",
    "homogeneity_p_value",
    "judge_guardrail",
    "plan_sample_size",
    "power_of",
    "quantile_interval",
    "srm_p_value",
    "update_belief",
    "write_results",
]

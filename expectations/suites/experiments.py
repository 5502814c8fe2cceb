"""Exposures, sufficient statistics and results of experiments."""

from expectations.checks import (
    Severity,
    Suite,
    between,
    holds,
    no_rows,
    not_null,
    one_of,
    share_at_most,
    unique_together,
)

# Sums of squares are doubles.
_RELATIVE_TOLERANCE = 1e-9
# Without quantiles, which no sums can give.
_METRIC_KINDS = (
    "proportion",
    "mean",
    "count",
    "revenue",
    "ratio",
    "retention",
    "time_to_event",
)
_ARMS = ("experiment_key", "variant_key", "metric_name")


def _sums_suite(table: str, *key: str) -> Suite:
    """Of a table of sufficient statistics, one row per arm, metric and `key`."""
    return Suite(
        table,
        (
            *(not_null(column) for column in (*_ARMS, *key)),
            one_of("metric_kind", _METRIC_KINDS),
            unique_together(*_ARMS, *key),
            between("unit_count", 0),
            between("value_sum_squares", 0),
            between("covariate_sum_squares", 0),
            holds(
                "a_proportion_counts_units",
                "value_sum of a proportion is from 0 to unit_count",
                "metric_kind not in ('proportion', 'retention') "
                "or value_sum between 0 and unit_count",
                column="value_sum",
            ),
            holds(
                "variance_is_not_negative",
                "value_sum squared is at most unit_count times value_sum_squares",
                "value_sum * value_sum <= unit_count * value_sum_squares "
                f"* (1 + {_RELATIVE_TOLERANCE})",
                column="value_sum_squares",
            ),
            holds(
                "a_ratio_has_a_denominator",
                "a ratio has sums of its denominator, any other metric none",
                "(metric_kind = 'ratio') = (denominator_sum is not null)",
                column="denominator_sum",
            ),
            no_rows(
                "metrics_have_the_same_units",
                "all metrics of an arm's row have one unit_count",
                f"""
                select 1 as offence from {{batch}}
                group by experiment_key, variant_key, {", ".join(key)}
                having min(unit_count) <> max(unit_count)
                """,
                column="unit_count",
            ),
        ),
    )


EXPERIMENT_SUITES = (
    Suite(
        "fct_exposures",
        (
            not_null("experiment_key"),
            not_null("variant_key"),
            not_null("unit_id"),
            not_null("exposed_at"),
            unique_together("experiment_key", "unit_id"),
            not_null("is_analysed"),
            one_of("unit_kind", ("visitor", "person", "session")),
            between("exposure_count", 1),
            between("variant_count", 1),
            share_at_most(
                "units_keep_their_variant",
                "at most 1 % of the units saw more than one variant",
                "cast(variant_count > 1 as bigint)",
                "1",
                0.01,
                200,
            ),
        ),
    ),
    Suite(
        "fct_experiment_outcomes",
        (
            *(not_null(column) for column in (*_ARMS, "visitor_id", "exposed_at")),
            not_null("unit_value"),
            unique_together("experiment_key", "unit_id"),
            one_of("unit_kind", ("visitor", "person", "session")),
        ),
    ),
    _sums_suite("fct_experiment_metrics", "exposure_date"),
    _sums_suite("fct_experiment_days", "metric_date"),
    _sums_suite("fct_experiment_segments", "dimension", "dimension_value"),
    Suite(
        "fct_experiment_values",
        (
            *(not_null(column) for column in (*_ARMS, "unit_value")),
            unique_together(*_ARMS, "unit_value"),
            between("unit_count", 1),
        ),
    ),
    Suite(
        "fct_experiment_results",
        (
            not_null("experiment_key"),
            not_null("metric_name"),
            not_null("variant_key"),
            not_null("verdict"),
            one_of("metric_kind", (*_METRIC_KINDS, "quantile")),
            unique_together("experiment_key", "metric_name", "variant_key"),
            between("p_value", 0, 1),
            between("srm_p_value", 0, 1),
            between("confidence_level", 0.5, 0.9999),
            holds(
                "estimate_is_inside_its_interval",
                "ci_low is at most estimate and estimate at most ci_high",
                "ci_low <= estimate and estimate <= ci_high",
                column="estimate",
            ),
            holds(
                "sample_ratio_is_as_planned",
                "no experiment raises a sample-ratio alarm",
                "not has_srm_alarm",
                column="has_srm_alarm",
                severity=Severity.WARN,
            ),
        ),
    ),
)

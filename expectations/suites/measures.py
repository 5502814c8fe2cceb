"""Daily measures: their parts add up."""

from expectations.checks import (
    Suite,
    between,
    holds,
    no_rows,
    not_negative,
    not_null,
    unique_together,
)

MEASURE_SUITES = (
    Suite(
        "fct_daily_metrics",
        (
            not_null("metric_date"),
            not_null("segment"),
            unique_together("metric_date", "channel", "device_class", "segment"),
            *not_negative(
                "session_count",
                "engaged_session_count",
                "bounced_session_count",
                "converted_session_count",
                "page_view_count",
                "purchase_count",
                "revenue_cents",
                "engaged_seconds",
            ),
            between("conversion_rate", 0, 1),
            between("bounce_rate", 0, 1),
            holds(
                "sessions_are_engaged_or_bounced",
                "engaged and bounced sessions sum to at most session_count",
                "engaged_session_count + bounced_session_count <= session_count",
                column="session_count",
            ),
            holds(
                "converted_sessions_are_sessions",
                "converted_session_count is at most session_count",
                "converted_session_count <= session_count",
                column="converted_session_count",
            ),
            no_rows(
                "session_count_equals_the_sessions",
                "session_count of a day sums to people's sessions in fct_sessions",
                """
                select 1 as offence
                from (
                    select metric_date, sum(session_count) as session_count
                    from {batch} group by metric_date
                ) as measured
                full outer join (
                    select session_date as metric_date, count(*) as session_count
                    from fct_sessions where not is_bot group by session_date
                ) as counted using (metric_date)
                where coalesce(measured.session_count, 0)
                    <> coalesce(counted.session_count, 0)
                """,
                column="session_count",
            ),
        ),
    ),
)

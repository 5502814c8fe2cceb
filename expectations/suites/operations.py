"""What was refused, what came late, what was collected under which consent."""

from expectations.checks import (
    Severity,
    Suite,
    between,
    holds,
    no_rows,
    not_negative,
    not_null,
    one_of,
    share_at_most,
    unique_together,
)

OPERATION_SUITES = (
    Suite(
        "ops_quarantine",
        (
            not_null("source_file"),
            not_null("source_row"),
            not_null("field"),
            not_null("reason"),
            one_of("quarantined_stage", ("door", "staging")),
            no_rows(
                "few_rows_are_refused",
                "at most 5 % of what came in is in quarantine",
                """
                select 1 as offence from (
                    select
                        (select count(*) from {batch}) as refused_count,
                        (select sum(event_count) from ops_collection_audit)
                            as accepted_count
                ) as counts
                where refused_count + accepted_count >= 200
                    and refused_count > 0.05 * (refused_count + accepted_count)
                """,
                severity=Severity.WARN,
            ),
        ),
    ),
    Suite(
        "ops_lateness",
        (
            not_null("source"),
            not_null("received_date"),
            not_null("delay_bucket"),
            not_null("is_late"),
            between("event_count", 0),
            share_at_most(
                "few_events_are_late",
                "at most 20 % of the events came late",
                "case when is_late then event_count else 0 end",
                "event_count",
                0.2,
                200,
            ),
        ),
    ),
    Suite(
        "ops_lateness_daily",
        (
            not_null("source"),
            not_null("occurred_date"),
            unique_together("source", "occurred_date"),
            *not_negative("event_count", "late_event_count", "session_count"),
            between("late_event_rate", 0, 1),
            holds(
                "parts_are_within_their_wholes",
                "late events and events set aside are events; re-opened and split "
                "sessions are measured ones, and these are sessions",
                "late_event_count <= event_count "
                "and set_aside_event_count <= event_count "
                "and reopened_session_count <= measured_session_count "
                "and split_session_count <= measured_session_count "
                "and measured_session_count <= session_count",
            ),
            holds(
                "reasons_sum_to_what_is_set_aside",
                "the events set aside for each reason sum to set_aside_event_count",
                "session_too_long_event_count "
                "+ created_too_long_before_sent_event_count = set_aside_event_count",
                column="set_aside_event_count",
            ),
            no_rows(
                "event_count_equals_the_arrivals",
                "a source has as many events by day of occurrence as by arrival, and "
                "as many late ones",
                """
                select 1 as offence
                from (
                    select
                        source,
                        sum(event_count) as event_count,
                        sum(late_event_count) as late_event_count
                    from {batch} group by source
                ) as occurred
                full outer join (
                    select
                        source,
                        sum(event_count) as event_count,
                        sum(case when is_late then event_count else 0 end)
                            as late_event_count
                    from ops_lateness group by source
                ) as arrived using (source)
                where occurred.event_count is distinct from arrived.event_count
                    or occurred.late_event_count
                    is distinct from arrived.late_event_count
                """,
                column="event_count",
            ),
            no_rows(
                "session_count_equals_the_sessions",
                "session_count is that of fct_sessions, source by source, day by day",
                """
                select 1 as offence
                from (
                    select source, occurred_date as session_date, session_count
                    from {batch}
                ) as measured
                full outer join (
                    select source, session_date, count(*) as session_count
                    from fct_sessions group by source, session_date
                ) as counted using (source, session_date)
                where coalesce(measured.session_count, 0)
                    <> coalesce(counted.session_count, 0)
                """,
                column="session_count",
            ),
        ),
    ),
    # Whether what was served is right blocks by itself: `orchestration/defs/release`.
    Suite(
        "ops_parity",
        (
            not_null("served_date"),
            not_null("view_name"),
            not_null("feature"),
            unique_together("served_date", "view_name", "feature", "speed"),
            one_of("speed", ("batch", "live")),
            between("served_count", 1),
            *not_negative(
                "matched_count",
                "mismatched_count",
                "missing_count",
                "extra_count",
                "pending_count",
                "max_difference",
                "mean_difference",
            ),
            holds(
                "outcomes_sum_to_what_was_served",
                "matched, mismatched, missing, extra and pending values sum to "
                "served_count",
                "matched_count + mismatched_count + missing_count + extra_count "
                "+ pending_count = served_count",
                column="served_count",
            ),
            holds(
                "mean_is_within_the_largest",
                "mean_difference is not above max_difference",
                "mean_difference <= max_difference",
                column="mean_difference",
            ),
        ),
    ),
    Suite(
        "ops_collection_audit",
        (
            not_null("source"),
            not_null("event_date"),
            not_null("event_name"),
            between("event_count", 1),
            one_of("consent_basis", ("stated", "assumed")),
            # The audit also counts what may not be used: consent refused.
            no_rows(
                "every_published_event_is_audited",
                "the audit counts at least the events of fct_events, day by day",
                """
                select 1 as offence
                from (
                    select source, event_date, event_name, count(*) as event_count
                    from fct_events group by all
                ) as published
                left join (
                    select
                        source, event_date, event_name,
                        sum(event_count) as event_count
                    from {batch} group by all
                ) as audited using (source, event_date, event_name)
                where published.event_count > coalesce(audited.event_count, 0)
                """,
                column="event_count",
            ),
        ),
    ),
)

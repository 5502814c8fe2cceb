"""What was refused, what came late, what was collected under which consent."""

from expectations.checks import (
    Severity,
    Suite,
    between,
    no_rows,
    not_null,
    one_of,
    share_at_most,
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
                        (select sum(event_count) from ops_lateness) as accepted_count
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

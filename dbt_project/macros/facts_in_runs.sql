{#
    What is needed to tell sessions as they were known at any moment, as CTEs that end in
    `facts_in_runs`, from facts with their visitor, scope and both times:

    - `event_number`: place among all facts of the visitor, by occurrence;
    - `preceded_at`: when the first of what goes before it in its session arrived, be it
      earlier or later than the fact itself; null where nothing ever does;
    - `run_started_at`: start of the run that all facts together make its session.

    Facts known at a moment are some of all, and leaving facts out never makes one session
    of two: so the session of a moment lies within a run. A fact starts a session as known
    from its arrival until `preceded_at`. What goes before is found as a minimum over a
    range, so that no fact is paired with any other.
#}
{% macro facts_in_runs(facts) -%}
facts_in_order as (

    select
        *,
        row_number() over (
            partition by visitor_id order by occurred_at, event_id
        ) as event_number,
    from {{ facts }}

),

facts_preceded as (

    select
        *,
        case
            when has_source_session then min(received_at) over earlier
            else min(received_at) over within_gap
        end as preceded_at,
    from facts_in_order
    window
        earlier as (
            partition by visitor_id, session_scope
            order by occurred_at
            range between unbounded preceding and interval '1 microsecond' preceding
        ),
        within_gap as (
            partition by visitor_id, session_scope
            order by occurred_at
            range between {{ session_gap() }} preceding
            and interval '1 microsecond' preceding
        )

),

facts_in_runs as (

    select
        *,
        max(case when preceded_at is null then occurred_at end) over (
            partition by visitor_id, session_scope
            order by event_number
            rows between unbounded preceding and current row
        ) as run_started_at,
    from facts_preceded

)
{%- endmacro %}

{#
    Sessions of a visitor as they were known at any moment, as CTEs `facts_in_runs` and
    `session_starts`, from facts with their visitor, scope and both times.

    A run is what all facts together make one session of. Facts known earlier are fewer,
    and fewer facts never make one session of two: so the session of a moment lies within
    one run. `session_starts` has a row per moment of occurrence at which a session starts
    as known from `known_at` until `known_until`, when an earlier event of it arrives (null
    for never). The session at a moment is the run from its latest start known then.

    In a run that arrived in its order, which is nearly every run, the only start is the
    first fact. In others a fact is a start as long as nothing is known within the gap
    before it: a minimum over a range, so that no fact is paired with any other.
#}
{% macro session_starts(facts) -%}
{%- set gap = "interval '" ~ var('session_gap_minutes') ~ " minutes'" -%}
facts_cut as (

    select
        *,
        coalesce(
            not has_source_session
            and lag(occurred_at) over visit < occurred_at - {{ gap }},
            false
        ) as is_cut,
    from {{ facts }}
    window visit as (
        partition by visitor_id, session_scope order by occurred_at, event_id
    )

),

facts_in_runs as (

    select
        * exclude (is_cut),
        cast(sum(cast(is_cut as bigint)) over so_far as bigint) as run_number,
    from facts_cut
    window so_far as (
        partition by visitor_id, session_scope
        order by occurred_at, event_id
        rows between unbounded preceding and current row
    )

),

facts_in_order as (

    select
        visitor_id,
        session_scope,
        run_number,
        has_source_session,
        occurred_at,
        received_at,
        received_at < max(received_at) over earlier as is_overtaken,
    from facts_in_runs
    window earlier as (
        partition by visitor_id, session_scope, run_number
        order by occurred_at, event_id
        rows between unbounded preceding and 1 preceding
    )

),

runs as (

    select
        visitor_id,
        session_scope,
        run_number,
        has_source_session,
        min(occurred_at) as occurred_at,
        min(received_at) as known_at,
        coalesce(bool_or(is_overtaken), false) as is_out_of_order,
    from facts_in_order
    group by visitor_id, session_scope, run_number, has_source_session

),

facts_out_of_order as (

    select
        facts_in_order.visitor_id,
        facts_in_order.session_scope,
        facts_in_order.run_number,
        facts_in_order.has_source_session,
        facts_in_order.occurred_at,
        min(facts_in_order.received_at) as known_at,
    from facts_in_order
    inner join runs
        on
            facts_in_order.visitor_id = runs.visitor_id
            and facts_in_order.session_scope = runs.session_scope
            and facts_in_order.run_number = runs.run_number
    where runs.is_out_of_order
    group by
        facts_in_order.visitor_id,
        facts_in_order.session_scope,
        facts_in_order.run_number,
        facts_in_order.has_source_session,
        facts_in_order.occurred_at

),

starts_out_of_order as (

    select
        *,
        case
            when has_source_session then min(known_at) over earlier
            else min(known_at) over within_gap
        end as known_until,
    from facts_out_of_order
    window
        earlier as (
            partition by visitor_id, session_scope, run_number
            order by occurred_at
            rows between unbounded preceding and 1 preceding
        ),
        within_gap as (
            partition by visitor_id, session_scope, run_number
            order by occurred_at
            range between {{ gap }} preceding and interval '1 microsecond' preceding
        )

),

session_starts as (

    select
        visitor_id,
        session_scope,
        run_number,
        has_source_session,
        occurred_at,
        known_at,
        known_until,
    from starts_out_of_order
    where known_until is null or known_at < known_until

    union all

    select
        visitor_id,
        session_scope,
        run_number,
        has_source_session,
        occurred_at,
        known_at,
        cast(null as timestamp) as known_until,
    from runs
    where not is_out_of_order

)
{%- endmacro %}

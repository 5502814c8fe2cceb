{#
    What is needed to tell sessions as they were known at any moment, as the CTE
    `moments_in_runs`: one row per visitor, scope and moment at which something occurred,
    `received_at` being the first arrival of it, with

    - `preceded_at`: when the first of what goes before it in its session arrived, be it
      earlier or later than itself; null where nothing ever does;
    - `run_started_at`: start of the run that all facts together make its session.

    Facts known at a moment are some of all, and leaving facts out never makes one session
    of two: so the session of a moment lies within a run. What occurred starts a session as
    known from its arrival until `preceded_at`. What goes before is found as a minimum over
    a range, so that no fact is paired with any other. Nothing cuts a source's own session.
#}
{% macro moments_in_runs() -%}
{%- set sql %}
    with

    moments as (

        select
            visitor_id,
            session_scope,
            occurred_at,
            bool_or(has_source_session) as has_source_session,
            case
                when bool_or(has_source_session) then interval '10000 years'
                else {{ session_gap() }}
            end as gap,
            min(received_at) as received_at,
        from {{ ref('int_events__feature_facts') }}
        group by visitor_id, session_scope, occurred_at

    ),

    moments_preceded as (

        select
            *,
            min(received_at) over (
                partition by visitor_id, session_scope
                order by occurred_at
                range between gap preceding and interval '1 microsecond' preceding
            ) as preceded_at,
        from moments

    )

    select
        *,
        max(case when preceded_at is null then occurred_at end) over (
            partition by visitor_id, session_scope
            order by occurred_at
            rows between unbounded preceding and current row
        ) as run_started_at,
    from moments_preceded
{%- endset -%}
moments_in_runs as (

    {{ made_once(sql) }}

)
{%- endmacro %}

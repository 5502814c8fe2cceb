{%- set window_days = segment_rules()
    | map(attribute='days') | select('number') | unique | list
-%}

with

session_facts as (

    select
        person_id,
        ended_at as first_at,
        ended_at as last_at,
        1 as session_count,
        page_view_count,
        -- Thousandths as integers: running sums of floats would drift.
        cast(round(engagement_score * 1000) as bigint) as engagement_score_milli,
        0 as order_count,
        0 as order_day_count,
    from {{ ref('fct_sessions') }}
    where not is_bot

),

orders as (

    select *
    from {{ ref('fct_orders') }}
    where not is_bot

),

order_facts as (

    select
        person_id,
        ordered_at as first_at,
        ordered_at as last_at,
        0 as session_count,
        0 as page_view_count,
        0 as engagement_score_milli,
        1 as order_count,
        0 as order_day_count,
    from orders

),

-- A day with orders counts from its first order on, until its last has left the window.
order_day_facts as (

    select
        person_id,
        min(ordered_at) as first_at,
        max(ordered_at) as last_at,
        0 as session_count,
        0 as page_view_count,
        0 as engagement_score_milli,
        0 as order_count,
        1 as order_day_count,
    from orders
    group by person_id, order_date

),

facts as (

    select * from session_facts
    union all by name
    select * from order_facts
    union all by name
    select * from order_day_facts

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

window_lengths as (

    select unnest({{ window_days }}) as window_days

),

changes as (

    select
        window_lengths.window_days,
        facts.person_id,
        facts.first_at as changed_at,
        facts.session_count,
        facts.page_view_count,
        facts.engagement_score_milli,
        facts.order_count,
        facts.order_day_count,
    from facts
    cross join window_lengths

    union all

    select
        window_lengths.window_days,
        facts.person_id,
        facts.last_at + to_days(window_lengths.window_days) as changed_at,
        -facts.session_count as session_count,
        -facts.page_view_count as page_view_count,
        -facts.engagement_score_milli as engagement_score_milli,
        -facts.order_count as order_count,
        -facts.order_day_count as order_day_count,
    from facts
    cross join window_lengths

),

changes_summed as (

    select
        window_days,
        person_id,
        changed_at,
        sum(session_count) as session_count,
        sum(page_view_count) as page_view_count,
        sum(engagement_score_milli) as engagement_score_milli,
        sum(order_count) as order_count,
        sum(order_day_count) as order_day_count,
    from changes
    where changed_at <= (select received_up_to from watermark)
    group by window_days, person_id, changed_at

),

final as (

    select
        window_days,
        person_id,
        changed_at as valid_from,
        lead(changed_at) over person_window as valid_to,
        sum(session_count) over so_far as session_count,
        sum(page_view_count) over so_far as page_view_count,
        sum(engagement_score_milli) over so_far / 1000.0 as engagement_score_sum,
        sum(order_count) over so_far as order_count,
        sum(order_day_count) over so_far as order_day_count,
    from changes_summed
    window
        person_window as (
            partition by window_days, person_id order by changed_at
        ),
        so_far as (
            partition by window_days, person_id
            order by changed_at
            rows between unbounded preceding and current row
        )

)

select * from final

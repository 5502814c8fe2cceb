{{ config(materialized='table') }}

with

sessions as (

    select *
    from {{ ref('fct_sessions') }}
    where not is_bot

),

last_day as (

    select max(session_date) as session_date
    from sessions

),

final as (

    select
        sessions.person_id,
        count(*) as session_count,
        cast(sum(sessions.page_view_count) as bigint) as page_view_count,
        {{ exact_sum('sessions.engaged_seconds') }} as engaged_seconds,
        cast(sum(sessions.item_view_count) as bigint) as item_view_count,
        cast(sum(sessions.add_to_cart_count) as bigint) as add_to_cart_count,
        cast(sum(sessions.purchase_count) as bigint) as purchase_count,
        cast(sum(sessions.revenue_cents) as bigint) as revenue_cents,
        date_diff(
            'day', max(sessions.session_date), max(last_day.session_date)
        ) as recency_days,
    from sessions
    cross join last_day
    group by sessions.person_id

)

select * from final

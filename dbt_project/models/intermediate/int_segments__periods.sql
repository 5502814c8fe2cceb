with

windows as (

    select * from {{ ref('int_persons__windows') }}

),

abandoned_carts as (

    select * from {{ ref('int_persons__abandoned_carts') }}

),

-- One branch a segment: who is in it, from when to when. To add one, add a branch and
-- its place in the var `segment_priority`.
memberships as (

    select
        person_id,
        'engaged_buyer' as segment,
        valid_from,
        valid_to,
    from windows
    where
        window_days = {{ var('engaged_buyer_days') }}
        and order_count > {{ var('engaged_buyer_orders') }}

    union all

    select
        person_id,
        'cart_abandoner' as segment,
        abandoned_at as valid_from,
        ended_at as valid_to,
    from abandoned_carts

    union all

    select
        person_id,
        'loyal_customer' as segment,
        valid_from,
        valid_to,
    from windows
    where
        window_days = {{ var('loyal_customer_days') }}
        and order_day_count >= {{ var('loyal_customer_order_days') }}

    union all

    select
        person_id,
        'engaged_user' as segment,
        valid_from,
        valid_to,
    from windows
    where
        window_days = {{ var('engaged_user_days') }}
        and session_count >= {{ var('engaged_user_sessions') }}
        and engagement_score_sum >= {{ var('engaged_user_score') }} * session_count

    union all

    select
        person_id,
        'casual_browser' as segment,
        valid_from,
        valid_to,
    from windows
    where
        window_days = {{ var('casual_browser_days') }}
        and session_count > 0
        and session_count < {{ var('casual_browser_sessions') }}
        and page_view_count < {{ var('casual_browser_page_views') }} * session_count

    union all

    select
        person_id,
        'casual_visitor' as segment,
        valid_from,
        valid_to,
    from windows
    where
        window_days = {{ var('casual_visitor_days') }}
        and session_count > 0
        and session_count <= {{ var('casual_visitor_sessions') }}
        and order_count = 0

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

-- An end after the last arrival has not happened yet: the period is open.
memberships_known as (

    select
        memberships.person_id,
        memberships.segment,
        memberships.valid_from,
        case
            when memberships.valid_to <= watermark.received_up_to
                then memberships.valid_to
        end as valid_to,
    from memberships
    cross join watermark
    where memberships.valid_from <= watermark.received_up_to

),

islands_started as (

    select
        *,
        coalesce(
            valid_from > max(coalesce(valid_to, timestamp '9999-12-31')) over (
                partition by person_id, segment
                order by valid_from, valid_to nulls last
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_island_start,
    from memberships_known

),

islands_numbered as (

    select
        *,
        sum(cast(is_island_start as integer)) over (
            partition by person_id, segment
            order by valid_from, valid_to nulls last
            rows between unbounded preceding and current row
        ) as island_number,
    from islands_started

),

final as (

    select
        person_id,
        segment,
        min(valid_from) as valid_from,
        nullif(
            max(coalesce(valid_to, timestamp '9999-12-31')),
            timestamp '9999-12-31'
        ) as valid_to,
    from islands_numbered
    group by person_id, segment, island_number

)

select * from final

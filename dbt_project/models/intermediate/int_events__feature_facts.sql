with

events as (

    select * from {{ ref('fct_events') }}

),

-- Only what consent permits, and what visitors did: an import of what is known of them
-- would count their orders a second time. A bot that gave itself away by behaviour is known for one
-- only afterwards: leaving it out here would rewrite values that were already served.
final as (

    select
        event_id,
        event_name,
        visitor_id,
        item_id,
        item_category,
        page_type,
        occurred_at,
        received_at,
        cast(is_page_view as bigint) as page_view_count,
        cast(event_name = 'view_item' as bigint) as item_view_count,
        cast(event_name = 'add_to_cart' as bigint) as add_to_cart_count,
        cast(event_name = 'purchase' as bigint) as purchase_count,
        case
            when event_name = 'purchase' then coalesce(revenue_cents, 0) else 0
        end as revenue_cents,
        coalesce(engaged_milliseconds, 0) as engaged_milliseconds,
    from events
    where
        has_personalization_consent
        and not is_declared_bot
        and session_id is not null

)

select * from final

with

purchases as (

    select
        *,
        coalesce(order_id, event_id) as order_key,
    from {{ ref('fct_events') }}
    where event_name = 'purchase'

),

-- A page loaded again sends its purchase again under a new event id.
first_purchases as (

    select *
    from purchases
    qualify row_number() over (
        partition by source, order_key
        order by occurred_at, event_id
    ) = 1

),

final as (

    select
        order_key as order_id,
        event_id as purchase_event_id,
        source,
        visitor_id,
        person_id,
        session_id,
        occurred_at as ordered_at,
        event_date as order_date,
        currency,
        revenue_cents,
        is_bot,
    from first_purchases

)

select * from final

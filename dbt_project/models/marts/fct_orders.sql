with

order_events as (

    select
        *,
        coalesce(order_id, event_id) as order_key,
    from {{ ref('fct_events') }}
    where
        event_name = 'purchase'
        or (event_name = 'order_status' and session_id is null)

),

-- A page loaded again sends its purchase again under a new event id.
first_purchases as (

    select *
    from order_events
    where session_id is not null
    qualify row_number() over (
        partition by source, order_key
        order by occurred_at, event_id
    ) = 1

),

-- A source of snapshots states an order anew whenever it changed.
latest_statements as (

    select *
    from order_events
    where session_id is null
    qualify row_number() over (
        partition by source, order_key
        order by received_at desc, event_id desc
    ) = 1

),

-- What was tracked in a session stands; a snapshot under its number is the same order.
orders as (

    select * from first_purchases

    union all by name

    select *
    from latest_statements
    where
        event_name = 'purchase'
        and order_key not in (select order_key from first_purchases)

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
    from orders

)

select * from final

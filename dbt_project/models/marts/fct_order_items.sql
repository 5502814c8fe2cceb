with

orders as (

    select * from {{ ref('fct_orders') }}

),

events as (

    select * from {{ ref('fct_events') }}

),

purchase_lines as (

    select
        orders.order_id,
        orders.source,
        events.event_id,
        {{ item_lines('events') }} as line,
    from orders
    inner join events
        on orders.purchase_event_id = events.event_id

),

final as (

    select
        md5(event_id || '|' || line.line_number) as order_item_id,
        order_id,
        source,
        line.item_id,
        line.item_category,
        line.item_brand,
        line.price_cents,
        line.quantity,
        line.price_cents * line.quantity as revenue_cents,
    from purchase_lines
    where line.item_id is not null

)

select * from final

with

orders as (

    select * from {{ ref('fct_orders') }}

),

events as (

    select * from {{ ref('fct_events') }}

),

purchases as (

    select
        orders.order_id,
        orders.source,
        events.event_id,
        {{ item_list('events') }} as items,
    from orders
    inner join events
        on orders.purchase_event_id = events.event_id

),

purchase_lines as (

    select
        order_id,
        source,
        event_id,
        unnest(items) as item,
        generate_subscripts(items, 1) as line_number,
    from purchases

),

final as (

    select
        md5(event_id || '|' || line_number) as order_item_id,
        order_id,
        source,
        item.item_id,
        item.item_category,
        item.item_brand,
        item.price_cents,
        coalesce(item.quantity, 1) as quantity,
        item.price_cents * coalesce(item.quantity, 1) as revenue_cents,
    from purchase_lines
    where item.item_id is not null

)

select * from final

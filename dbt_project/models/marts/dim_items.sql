with

events as (

    select *
    from {{ ref('fct_events') }}
    where item_id is not null

),

order_items as (

    select order_items.*
    from {{ ref('fct_order_items') }} as order_items
    inner join {{ ref('fct_orders') }} as orders
        on
            order_items.source = orders.source
            and order_items.order_id = orders.order_id
    where not orders.is_bot

),

attributes as (

    select
        item_id,
        arg_max(item_category, (occurred_at, event_id))
        filter (where item_category is not null) as item_category,
        arg_max(item_brand, (occurred_at, event_id))
        filter (where item_brand is not null) as item_brand,
        arg_max(price_cents, (occurred_at, event_id))
        filter (where price_cents is not null) as price_cents,
        arg_max(currency, (occurred_at, event_id))
        filter (where currency is not null) as currency,
        count(*) filter (where event_name = 'view_item' and not is_bot) as view_count,
        count(*) filter (where event_name = 'add_to_cart' and not is_bot)
            as add_to_cart_count,
    from events
    group by item_id

),

purchases as (

    select
        item_id,
        max(item_category) as item_category,
        max(item_brand) as item_brand,
        max(price_cents) as price_cents,
        sum(quantity) as purchase_count,
    from order_items
    group by item_id

),

items as (

    select
        coalesce(attributes.item_id, purchases.item_id) as item_id,
        coalesce(attributes.item_category, purchases.item_category) as item_category,
        coalesce(attributes.item_brand, purchases.item_brand) as item_brand,
        coalesce(attributes.price_cents, purchases.price_cents) as price_cents,
        attributes.currency,
        coalesce(attributes.view_count, 0) as view_count,
        coalesce(attributes.add_to_cart_count, 0) as add_to_cart_count,
        cast(coalesce(purchases.purchase_count, 0) as bigint) as purchase_count,
    from attributes
    full outer join purchases
        on attributes.item_id = purchases.item_id

),

final as (

    select
        *,
        row_number() over (
            order by
                purchase_count desc,
                add_to_cart_count desc,
                view_count desc,
                item_id asc
        ) as popularity_rank,
    from items

)

select * from final

{#
    What is in a visitor's cart, as a whole model; `facts` as in `visitor_activity`.
#}
{% macro visitor_cart(facts=none) -%}
with

facts as (

    select * from {{ facts or ref('int_events__feature_facts') }}

),

{{ item_lines(
    'facts',
    ['visitor_id', 'event_id', 'event_name', 'occurred_at', 'received_at'],
    ['add_to_cart', 'remove_from_cart'],
) }},

-- A purchase empties the cart of what is before it, whatever it names.
cart_events as (

    select
        visitor_id,
        event_id,
        event_name,
        occurred_at,
        received_at,
        line_number,
        line.item_id,
        line.price_cents,
        coalesce(line.quantity, 1)
        * case when event_name = 'add_to_cart' then 1 else -1 end as quantity_change,
    from item_lines
    where line.item_id is not null

    union all by name

    select
        visitor_id,
        event_id,
        event_name,
        occurred_at,
        received_at,
        0 as line_number,
    from facts
    where event_name = 'purchase'

),

cart_changes as (

    select
        *,
        min(received_at) filter (where event_name = 'purchase') over later
            as bought_at,
    from cart_events
    window later as (
        partition by visitor_id
        order by occurred_at, event_id
        rows between 1 following and unbounded following
    )

),

{{ known_at_moments(
    entity='visitor_id',
    facts='cart_changes',
    columns=['event_name', 'occurred_at', 'item_id', 'price_cents', 'quantity_change'],
    at_most=var('cart_changes'),
    ends_at='bought_at',
    window=var('cart_window'),
) }},

-- Nothing can be taken out of a cart that is not in it: what is left of an item is the
-- most that any number of its last changes adds up to.
changes_added_up as (

    select
        *,
        sum(quantity_change) over (
            partition by moment_number, item_id
            order by fact_number desc
            rows between unbounded preceding and current row
        ) as quantity_since,
    from known_at_moments
    where event_name != 'purchase'

),

items as (

    select
        moment_number,
        item_id,
        max(quantity_since) as quantity,
        arg_max(price_cents, fact_number) filter (where quantity_change > 0)
            as price_cents,
        max(fact_number) filter (where quantity_change > 0) as added_number,
        min(occurred_at) filter (where quantity_change > 0) as added_at,
        max(occurred_at) as changed_at,
    from changes_added_up
    group by moment_number, item_id

),

carts as (

    select
        moment_number,
        list(item_id order by added_number desc) filter (where quantity > 0)
            as cart_items,
        sum(quantity) filter (where quantity > 0) as cart_item_count,
        sum(quantity * price_cents) filter (where quantity > 0) as cart_value_cents,
        min(added_at) filter (where quantity > 0) as cart_started_at,
        max(changed_at) as cart_changed_at,
    from items
    group by moment_number

),

final as (

    select
        moments.visitor_id,
        moments.event_timestamp,
        moments.created_timestamp,
        coalesce(carts.cart_items, []) as cart_items,
        cast(coalesce(carts.cart_item_count, 0) as bigint) as cart_item_count,
        cast(coalesce(carts.cart_value_cents, 0) as bigint) as cart_value_cents,
        carts.cart_started_at,
        case when carts.cart_item_count > 0 then carts.cart_changed_at end
            as cart_changed_at,
    from moments
    left join carts
        on moments.moment_number = carts.moment_number

)

select * from final
{%- endmacro %}

{%- set patience = "interval '" ~ var('cart_abandoner_hours') ~ " hours'" %}
{%- set memory = "interval '" ~ var('cart_abandoner_days') ~ " days'" %}

with

cart_events as (

    select
        person_id,
        event_id,
        event_name,
        occurred_at,
    from {{ ref('fct_events') }}
    where
        event_name in ('add_to_cart', 'purchase')
        and not is_bot

),

carts as (

    select
        *,
        min(case when event_name = 'purchase' then occurred_at end) over (
            partition by person_id
            order by occurred_at, event_id
            rows between current row and unbounded following
        ) as purchased_at,
    from cart_events

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

final as (

    select
        person_id,
        event_id as add_to_cart_event_id,
        occurred_at + {{ patience }} as valid_from,
        least(purchased_at, occurred_at + {{ patience }} + {{ memory }}) as valid_to,
    from carts
    where
        event_name = 'add_to_cart'
        and coalesce(purchased_at > occurred_at + {{ patience }}, true)
        and occurred_at + {{ patience }} <= (select received_up_to from watermark)

)

select * from final

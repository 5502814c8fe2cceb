{%- set measures = [
    'view_count_24h',
    'view_count_7d_before',
    'view_count_30d',
    'add_to_cart_count_30d',
    'purchase_count_30d',
] -%}
with

facts as (

    select
        item_id,
        occurred_at,
        received_at,
        {{ end_of_tile('received_at', var('item_tile_minutes')) }} as known_at,
        item_view_count,
        add_to_cart_count,
        purchase_count,
    from {{ ref('int_events__feature_facts') }}
    where
        item_id is not null
        and item_view_count + add_to_cart_count + purchase_count > 0

),

spans as (

    select
        item_id,
        received_at,
        known_at,
        {{ leaves_window_at('occurred_at', '24h') }} as expires_at,
        item_view_count as view_count_24h,
        0 as view_count_7d_before,
        0 as view_count_30d,
        0 as add_to_cart_count_30d,
        0 as purchase_count_30d,
    from facts
    where item_view_count > 0

    union all

    -- What has left the day is of the seven days before it for as long.
    select
        item_id,
        received_at,
        greatest(known_at, {{ leaves_window_at('occurred_at', '24h') }}) as known_at,
        {{ leaves_window_at('occurred_at', '24h') }} + interval '7 days' as expires_at,
        0 as view_count_24h,
        item_view_count as view_count_7d_before,
        0 as view_count_30d,
        0 as add_to_cart_count_30d,
        0 as purchase_count_30d,
    from facts
    where item_view_count > 0

    union all

    select
        item_id,
        received_at,
        known_at,
        {{ leaves_window_at('occurred_at', '30d') }} as expires_at,
        0 as view_count_24h,
        0 as view_count_7d_before,
        item_view_count as view_count_30d,
        add_to_cart_count as add_to_cart_count_30d,
        purchase_count as purchase_count_30d,
    from facts

),

{{ sums_at_change_points('item_id', 'spans', measures) }},

final as (

    select
        item_id,
        event_timestamp,
        created_timestamp,
        (view_count_24h + {{ var('trend_prior_views') }})
        / (view_count_7d_before / 7.0 + {{ var('trend_prior_views') }})
            as view_trend,
        (
            add_to_cart_count_30d
            + {{ var('cart_rate_prior') }} * {{ var('rate_prior_views') }}
        ) / (view_count_30d + {{ var('rate_prior_views') }}) as cart_rate_30d,
        (
            purchase_count_30d
            + {{ var('purchase_rate_prior') }} * {{ var('rate_prior_views') }}
        ) / (view_count_30d + {{ var('rate_prior_views') }}) as purchase_rate_30d,
    from values_at_change_points

)

select * from final

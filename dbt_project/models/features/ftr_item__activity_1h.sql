with

events as (

    select * from {{ ref('int_events__feature_facts') }}
    where item_id is not null

),

{{ values_at_change_points(
    entity='item_id',
    facts='events',
    measures=['item_view_count', 'add_to_cart_count', 'purchase_count'],
    window='1h',
    tile_minutes=var('item_tile_minutes_1h'),
) }}

select
    item_id,
    event_timestamp,
    created_timestamp,
    item_view_count as view_count_1h,
    add_to_cart_count as add_to_cart_count_1h,
    purchase_count as purchase_count_1h,
from values_at_change_points

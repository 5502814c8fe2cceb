with

events as (

    select * from {{ ref('int_events__feature_facts') }}
    where item_id is not null

),

{{ values_at_change_points(
    entity='item_id',
    facts='events',
    measures=['item_view_count', 'add_to_cart_count', 'purchase_count'],
    window='30d',
    tile_minutes=var('item_tile_minutes'),
) }}

select
    item_id,
    event_timestamp,
    created_timestamp,
    item_view_count as view_count_30d,
    add_to_cart_count as add_to_cart_count_30d,
    purchase_count as purchase_count_30d,
from values_at_change_points

with

events as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=visitor_measures(),
    window='5m',
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    page_view_count as page_view_count_5m,
    item_view_count as item_view_count_5m,
    add_to_cart_count as add_to_cart_count_5m,
    purchase_count as purchase_count_5m,
    revenue_cents as revenue_cents_5m,
    engaged_milliseconds / 1000.0 as engaged_seconds_5m,
from values_at_change_points

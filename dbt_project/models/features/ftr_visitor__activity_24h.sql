with

events as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=visitor_measures(),
    window='24h',
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    page_view_count as page_view_count_24h,
    item_view_count as item_view_count_24h,
    add_to_cart_count as add_to_cart_count_24h,
    purchase_count as purchase_count_24h,
    revenue_cents as revenue_cents_24h,
    engaged_milliseconds / 1000.0 as engaged_seconds_24h,
from values_at_change_points

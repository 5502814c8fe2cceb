with

events as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=visitor_measures(),
    window='1h',
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    page_view_count as page_view_count_1h,
    item_view_count as item_view_count_1h,
    add_to_cart_count as add_to_cart_count_1h,
    purchase_count as purchase_count_1h,
    revenue_cents as revenue_cents_1h,
    engaged_milliseconds / 1000.0 as engaged_seconds_1h,
from values_at_change_points

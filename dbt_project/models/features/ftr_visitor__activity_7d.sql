with

events as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=visitor_measures(),
    window='7d',
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    page_view_count as page_view_count_7d,
    item_view_count as item_view_count_7d,
    add_to_cart_count as add_to_cart_count_7d,
    purchase_count as purchase_count_7d,
    revenue_cents as revenue_cents_7d,
    engaged_milliseconds / 1000.0 as engaged_seconds_7d,
from values_at_change_points

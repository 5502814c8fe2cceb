with

events as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=visitor_measures(),
    window='30d',
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    page_view_count as page_view_count_30d,
    item_view_count as item_view_count_30d,
    add_to_cart_count as add_to_cart_count_30d,
    purchase_count as purchase_count_30d,
    revenue_cents as revenue_cents_30d,
    engaged_milliseconds / 1000.0 as engaged_seconds_30d,
from values_at_change_points

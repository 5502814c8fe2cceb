with

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ distincts_at_change_points('facts', window='7d') }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    item_count as viewed_item_count_7d,
    category_count as viewed_category_count_7d,
    active_day_count as active_day_count_7d,
    session_count as session_count_7d,
from values_at_change_points

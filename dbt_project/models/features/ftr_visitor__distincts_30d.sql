with

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ distincts_at_change_points('facts', window='30d') }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    item_count as viewed_item_count_30d,
    category_count as viewed_category_count_30d,
    active_day_count as active_day_count_30d,
    session_count as session_count_30d,
from values_at_change_points

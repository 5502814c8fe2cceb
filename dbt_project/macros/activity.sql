{#
    What was done within a window, as a whole model: one for each window, so that each is a
    narrow view of its own. Columns end in the window's name. `facts` are all facts where
    no other relation is given, as in `of_persons`.
#}
{% macro visitor_activity(window, facts=none) -%}
{%- set counts = activity_counts() -%}
with

events as (

    select * from {{ facts or ref('int_events__feature_facts') }}

),

{{ values_at_change_points(
    entity='visitor_id',
    facts='events',
    measures=counts + ['engaged_milliseconds'],
    window=window,
) }}

select
    visitor_id,
    event_timestamp,
    created_timestamp,
    {% for count in counts -%}
    {{ count }} as {{ count }}_{{ window }},
    {% endfor -%}
    engaged_milliseconds / 1000.0 as engaged_seconds_{{ window }},
from values_at_change_points
{%- endmacro %}

{# Likewise of a person, under each of its visitors. #}
{% macro person_activity(window) -%}
{%- set nothing = {'engaged_seconds_' ~ window: 0} -%}
{%- for count in activity_counts() -%}
{%- do nothing.update({count ~ '_' ~ window: 0}) -%}
{%- endfor -%}
{{ of_persons(visitor_activity(window, 'facts_of_persons'), nothing) }}
{%- endmacro %}

{# Likewise of an item, known at the end of each tile. #}
{% macro item_activity(window, tile_minutes) -%}
with

events as (

    select * from {{ ref('int_events__feature_facts') }}
    where item_id is not null

),

{{ values_at_change_points(
    entity='item_id',
    facts='events',
    measures=['item_view_count', 'add_to_cart_count', 'purchase_count'],
    window=window,
    tile_minutes=tile_minutes,
) }}

select
    item_id,
    event_timestamp,
    created_timestamp,
    item_view_count as view_count_{{ window }},
    add_to_cart_count as add_to_cart_count_{{ window }},
    purchase_count as purchase_count_{{ window }},
from values_at_change_points
{%- endmacro %}

{% macro activity_counts() -%}
{{ return([
    'page_view_count',
    'item_view_count',
    'add_to_cart_count',
    'purchase_count',
    'revenue_cents',
]) }}
{%- endmacro %}

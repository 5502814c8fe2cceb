{#
    Lists of the last things that a visitor viewed, put into the cart and bought, as a
    whole model; `facts` as in `visitor_activity`.
#}
{% macro visitor_recent(facts=none) -%}
{#- The list's name, what it is of, and which event it is told by. -#}
{%- set lists = [
    ('viewed_items', 'item_id', 'view_item'),
    ('carted_items', 'item_id', 'add_to_cart'),
    ('bought_items', 'item_id', 'purchase'),
    ('viewed_categories', 'item_category', 'view_item'),
    ('viewed_brands', 'item_brand', 'view_item'),
] -%}
with

facts as (

    select * from {{ facts or ref('int_events__feature_facts') }}

),

{{ item_lines(
    'facts',
    ['visitor_id', 'event_id', 'event_name', 'occurred_at', 'received_at'],
    ['view_item', 'add_to_cart', 'purchase'],
) }},

listed as (

    {% for name, field, event_name in lists -%}
    select
        visitor_id,
        event_id,
        occurred_at,
        received_at,
        line_number,
        '{{ name }}' as list_name,
        line.{{ field }} as thing,
    from item_lines
    where event_name = '{{ event_name }}'
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}
),

{{ known_at_moments(
    entity='visitor_id',
    facts='listed',
    columns=['thing'],
    at_most=var('recent_list_length'),
    thing='thing',
    group='list_name',
) }},

lists as (

    select
        moment_number,
        list(thing order by fact_number desc)
        filter (where list_name = 'viewed_items') as viewed_items,
        list(thing order by fact_number desc)
        filter (where list_name = 'carted_items') as carted_items,
        list(thing order by fact_number desc)
        filter (where list_name = 'bought_items') as bought_items,
        list(thing order by fact_number desc)
        filter (where list_name = 'viewed_categories') as viewed_categories,
        list(thing order by fact_number desc)
        filter (where list_name = 'viewed_brands') as viewed_brands,
    from known_at_moments
    group by moment_number

),

final as (

    select
        moments.visitor_id,
        moments.event_timestamp,
        moments.created_timestamp,
        coalesce(lists.viewed_items, []) as last_viewed_items,
        coalesce(lists.carted_items, []) as last_carted_items,
        coalesce(lists.bought_items, []) as last_bought_items,
        coalesce(lists.viewed_categories, []) as last_viewed_categories,
        coalesce(lists.viewed_brands, []) as last_viewed_brands,
    from moments
    inner join lists
        on moments.moment_number = lists.moment_number

)

select * from final
{%- endmacro %}

{%- set contact_types = var('content_contacts').values() | sum(start=[]) -%}
with

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

{{ item_lines(
    'facts',
    ['visitor_id', 'event_id', 'event_name', 'occurred_at', 'received_at'],
    ['view_item', 'view_item_list'],
) }},

acts as (

    select
        visitor_id,
        event_id,
        occurred_at,
        received_at,
        line_number,
        'view' as act,
        line.item_id,
        line.item_category,
    from item_lines
    where event_name = 'view_item'

    union all

    -- A list is of a category once, however many of its items it shows.
    select
        visitor_id,
        event_id,
        any_value(occurred_at) as occurred_at,
        any_value(received_at) as received_at,
        min(line_number) as line_number,
        'list' as act,
        null as item_id,
        line.item_category,
    from item_lines
    where event_name = 'view_item_list' and line.item_category is not null
    group by visitor_id, event_id, line.item_category

    union all

    select
        visitor_id,
        event_id,
        occurred_at,
        received_at,
        1 as line_number,
        case
            when event_name = 'page_view' then 'list'
            when event_name = 'search' then 'search'
            {% for act, types in var('content_contacts').items() -%}
            when content_type in {{ string_list(types) }} then '{{ act }}'
            {% endfor %}
        end as act,
        null as item_id,
        item_category,
    from facts
    where
        event_name = 'search'
        or (
            event_name = 'page_view'
            and page_type in {{ string_list(var('list_page_types')) }}
            and item_category is not null
        )
        or (
            event_name = 'content_interaction'
            and content_type in {{ string_list(contact_types) }}
        )

),

{{ known_at_moments(
    entity='visitor_id',
    facts='acts',
    columns=['act', 'item_id', 'item_category'],
    at_most=var('intent_acts'),
    window=var('intent_window'),
) }},

acts_in_sight as (

    select
        *,
        min(fact_number) filter (where act = 'search') over of_moment
            as searched_number,
        min(fact_number) filter (where act = 'list') over of_category
            as listed_number,
        count(*) filter (where act = 'view') over of_item as view_count,
    from known_at_moments
    window
        of_moment as (partition by moment_number),
        of_category as (partition by moment_number, item_category),
        of_item as (partition by moment_number, item_id)

),

intents as (

    select
        moment_number,
        max(view_count) filter (where item_id is not null) as most_views,
        arg_max(item_id, (view_count, fact_number)) as most_viewed_item_id,
        count(*) filter (
            where act = 'view'
            and item_category is not null
            and listed_number < fact_number
        ) as listed_count,
        count(*) filter (where act = 'view' and searched_number < fact_number)
            as searched_count,
        {% for act in var('content_contacts') -%}
        count(*) filter (where act = '{{ act }}') as {{ act }}_count,
        {% endfor %}
    from acts_in_sight
    group by moment_number

),

final as (

    select
        moments.visitor_id,
        moments.event_timestamp,
        moments.created_timestamp,
        intents.most_viewed_item_id as most_viewed_item_id_30m,
        coalesce(intents.most_views, 0) as most_viewed_item_view_count_30m,
        coalesce(intents.listed_count, 0) as view_after_list_count_30m,
        coalesce(intents.searched_count, 0) as view_after_search_count_30m,
        {% for act in var('content_contacts') -%}
        coalesce(intents.{{ act }}_count, 0) as {{ act }}_count_30m,
        {% endfor %}
    from moments
    left join intents
        on moments.moment_number = intents.moment_number

)

select * from final

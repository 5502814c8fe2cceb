{#
    When a visitor last did what, as a whole model; `facts` as in `visitor_activity`.
#}
{% macro visitor_recency(facts=none) -%}
{%- set names = {
    'last_page_view_at': 'page_view',
    'last_item_view_at': 'view_item',
    'last_add_to_cart_at': 'add_to_cart',
    'last_search_at': 'search',
    'last_content_interaction_at': 'content_interaction',
} -%}
with

facts as (

    select
        facts.visitor_id,
        facts.received_at,
        greatest(facts.received_at, clock.known_from) as summed_at,
        facts.occurred_at,
        facts.event_name,
    from {{ facts or ref('int_events__feature_facts') }} as facts
    cross join {{ ref('int_features__clock') }} as clock
    where
        facts.event_name in {{ string_list(names.values()) }}
        and facts.received_at <= clock.known_up_to

),

facts_summed as (

    select
        visitor_id,
        summed_at,
        max(received_at) as received_at,
        min(occurred_at) as first_seen_at,
        {%- for column, name in names.items() %}
        max(occurred_at) filter (where event_name = '{{ name }}') as {{ column }},
        {%- endfor %}
    from facts
    group by visitor_id, summed_at

),

final as (

    select
        visitor_id,
        received_at as event_timestamp,
        received_at as created_timestamp,
        min(first_seen_at) over so_far as first_seen_at,
        max(last_page_view_at) over so_far as last_page_view_at,
        max(last_item_view_at) over so_far as last_item_view_at,
        max(last_add_to_cart_at) over so_far as last_add_to_cart_at,
        max(last_search_at) over so_far as last_search_at,
        max(last_content_interaction_at) over so_far as last_content_interaction_at,
    from facts_summed
    window so_far as (
        partition by visitor_id
        order by summed_at
        rows between unbounded preceding and current row
    )

)

select * from final
{%- endmacro %}

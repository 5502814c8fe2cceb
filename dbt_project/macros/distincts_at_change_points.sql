{#
    How many different items and categories a visitor viewed, on how many days it was
    active and how many sessions it began, at every moment at which one of them changes.

    A thing is there from the first arrival of it until nothing of it is in the window any
    more: spans of facts that meet are one, so that a second view of an item adds nothing
    and an item leaves once, and all is a sum of spans. A fact starts a session from its
    arrival until something before it in its session arrives (moments_in_runs), so that an
    event that joins two sessions takes one away.
#}
{% macro distincts_at_change_points(facts, window) -%}
{{ item_lines(
    facts, ['visitor_id', 'occurred_at', 'received_at'], ['view_item']
) }},

things as (

    select
        visitor_id,
        'item' as kind,
        line.item_id as thing,
        occurred_at,
        received_at,
    from item_lines

    union all

    select
        visitor_id,
        'category' as kind,
        line.item_category as thing,
        occurred_at,
        received_at,
    from item_lines

    union all

    select
        visitor_id,
        'day' as kind,
        cast(cast(occurred_at as date) as varchar) as thing,
        occurred_at,
        received_at,
    from {{ facts }}

),

-- What leaves at the same moment is one: it never parts, as the first arrival of it is
-- before it leaves.
things_timed as (

    select
        visitor_id,
        kind,
        thing,
        {{ leaves_window_at('occurred_at', window) }} as expires_at,
        min(received_at) as received_at,
        max(received_at) as last_received_at,
    from things
    where
        thing is not null
        and received_at < {{ leaves_window_at('occurred_at', window) }}
    group by visitor_id, kind, thing, expires_at

),

things_cut as (

    select
        *,
        coalesce(received_at > max(expires_at) over earlier, true) as is_cut,
    from things_timed
    window earlier as (
        partition by visitor_id, kind, thing
        order by received_at
        rows between unbounded preceding and 1 preceding
    )

),

things_in_spans as (

    select
        *,
        sum(cast(is_cut as bigint)) over (
            partition by visitor_id, kind, thing
            order by received_at
            rows between unbounded preceding and current row
        ) as span_number,
    from things_cut

),

{{ moments_in_runs() }},

spans as (

    select
        visitor_id,
        min(received_at) as known_at,
        max(expires_at) as expires_at,
        min(received_at) as received_at,
        max(last_received_at) as last_received_at,
        cast(kind = 'item' as bigint) as item_count,
        cast(kind = 'category' as bigint) as category_count,
        cast(kind = 'day' as bigint) as active_day_count,
        0 as session_count,
    from things_in_spans
    group by visitor_id, kind, thing, span_number

    union all

    select
        visitor_id,
        received_at as known_at,
        least(
            {{ leaves_window_at('occurred_at', window) }}, preceded_at
        ) as expires_at,
        received_at,
        case
            when preceded_at < {{ leaves_window_at('occurred_at', window) }}
                then preceded_at
            else received_at
        end as last_received_at,
        0 as item_count,
        0 as category_count,
        0 as active_day_count,
        1 as session_count,
    from moments_in_runs
    where preceded_at is null or received_at < preceded_at

),

{{ sums_at_change_points(
    entity='visitor_id',
    spans='spans',
    measures=['item_count', 'category_count', 'active_day_count', 'session_count'],
    last_received_at='last_received_at',
) }}
{%- endmacro %}

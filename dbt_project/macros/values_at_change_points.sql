{#
    The value of a windowed sum at every moment at which it changes, as CTEs that end in
    `values_at_change_points`: one row per entity and change, in knowledge time.

    value(t) = sum over facts with received_at <= t that have not left the window at t.
    A fact leaves at the end of the window that starts with its hop:
    floor(occurred_at / hop) * hop + length, so nothing older than `length` is counted.
    A late fact therefore adds rows from its arrival on and rewrites none before it.
    Moments after the clock's `known_up_to` are not emitted: something may still arrive
    before them. All moments up to its `known_from` are summed up in one row, that of the
    last change until then.

    With `tile_minutes`, arrivals become known at the end of their tile.
#}
{% macro values_at_change_points(entity, facts, measures, window, tile_minutes=none) -%}
facts_timed as (

    select
        {{ entity }},
        received_at,
        {{ end_of_tile('received_at', tile_minutes) if tile_minutes else 'received_at' }}
            as known_at,
        {{ leaves_window_at('occurred_at', window) }} as expires_at,
        {{ measures | join(',\n        ') }},
    from {{ facts }}
    where {{ measures | join(' + ') }} != 0

),

{{ sums_at_change_points(entity, 'facts_timed', measures) }}
{%- endmacro %}

{#
    The sum at every moment at which it changes, as CTEs that end in
    `values_at_change_points`, of spans that count from `known_at` until `expires_at`.
    `received_at` is the arrival that begins a span, `last_received_at` the latest that its
    end rests on.
#}
{% macro sums_at_change_points(
    entity, spans, measures, last_received_at='received_at'
) -%}
changes as (

    select
        {{ entity }},
        known_at as changed_at,
        received_at,
        {{ measures | join(',\n        ') }},
    from {{ spans }}
    where known_at < expires_at

    union all

    select
        {{ entity }},
        expires_at as changed_at,
        {{ last_received_at }} as received_at,
        {% for measure in measures -%}
        -{{ measure }} as {{ measure }},
        {% endfor %}
    from {{ spans }}
    where known_at < expires_at

),

{{ changes_summed(entity, measures) }},

values_at_change_points as (

    select
        {{ entity }},
        changed_at as event_timestamp,
        max(received_at) over so_far as created_timestamp,
        {% for measure in measures -%}
        cast(sum({{ measure }}) over so_far as bigint) as {{ measure }},
        {% endfor %}
    from changes_summed
    window so_far as (
        partition by {{ entity }}
        order by changed_at
        rows between unbounded preceding and current row
    )

)
{%- endmacro %}

{#
    What `changes` of an entity at one moment come to, as the CTE `changes_summed`. All up to
    the clock's `known_from` are one, with the moment of the last; there is none after its
    `known_up_to`.
#}
{% macro changes_summed(entity, measures=[]) -%}
changes_summed as (

    select
        changes.{{ entity }},
        greatest(changes.changed_at, clock.known_from) as summed_at,
        max(changes.changed_at) as changed_at,
        max(changes.received_at) as received_at,
        {% for measure in measures -%}
        sum(changes.{{ measure }}) as {{ measure }},
        {% endfor %}
    from changes
    cross join {{ ref('int_features__clock') }} as clock
    where changes.changed_at <= clock.known_up_to
    group by changes.{{ entity }}, summed_at

)
{%- endmacro %}

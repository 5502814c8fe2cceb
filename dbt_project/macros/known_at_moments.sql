{#
    For what is no sum: what is known at every moment at which something changes, as CTEs
    that end in `moments` (one row per entity and moment, its `moment_number` being nobody
    else's) and `known_at_moments` (one row per moment and fact known then; a bigger
    `fact_number` is newer).

    Facts have the entity, `occurred_at`, `event_id`, `line_number` (the place within an
    event, the first being the newest), `received_at` and their own `columns`.

    - `thing`: where given, a fact is known until a newer one of the same thing (in the
      same `group`) is. What has no thing is left out.
    - `at_most`: how many of the newest facts are known, per group.
    - `ends_at`: where given, an arrival at which the fact is over whatever else is known.
    - `window`: where given, facts leave as in values_at_change_points.

    Moments are the arrivals of facts and, with a window, their leavings. All up to the
    clock's `known_from` are one, that of the last change until then; there is none after
    its `known_up_to`.

    A fact is known from one moment up to another, so it is spread over the numbers of the
    moments between: no fact meets a moment at which it is not known. For long histories
    facts are cut into blocks from old to new: once `at_most` things of a newer block have
    arrived, nothing of an older one is wanted any more. So the cost of a moment is at
    most a few times `at_most`, however long the history.
#}
{% macro known_at_moments(
    entity,
    facts,
    columns,
    at_most,
    thing=none,
    group=none,
    ends_at=none,
    window=none
) -%}
{%- set keys = [entity, group] | select | list -%}
{%- set own = (columns + [thing, ends_at]) | select | unique | list -%}
facts_timed as (

    select
        {{ keys | join(',\n        ') }},
        {{ own | join(',\n        ') }},
        received_at,
        {% if window -%}
        {{ leaves_window_at('occurred_at', window) }} as leaves_at,
        {%- else -%}
        cast(null as timestamp) as leaves_at,
        {%- endif %}
        row_number() over (
            partition by {{ keys | join(', ') }}
            order by occurred_at, event_id, line_number desc
        ) as fact_number,
    from {{ facts }}
    {% if thing -%}
    where {{ thing }} is not null
    {%- endif %}

),

facts_in_blocks as (

    select
        *,
        (fact_number - 1) // {{ 2 * at_most }} as block_number,
        count(*) over (partition by {{ keys | join(', ') }}) as fact_count,
        {% if thing -%}
        min(received_at) over (
            partition by {{ keys | join(', ') }}, {{ thing }}
            order by fact_number
            rows between 1 following and unbounded following
        ) as superseded_at,
        {%- else -%}
        cast(null as timestamp) as superseded_at,
        {%- endif %}
    from facts_timed
    {% if window -%}
    where received_at < leaves_at
    {%- endif %}

),

things_in_blocks as (

    select
        {{ keys | join(',
        ') }},
        block_number,
        min(received_at) as received_at,
    from facts_in_blocks
    where block_number > 0
    group by {{ keys | join(', ') }}, block_number, {{ thing or 'fact_number' }}

),

things_counted as (

    select
        *,
        row_number() over (
            partition by {{ keys | join(', ') }}, block_number order by received_at
        ) as thing_count,
    from things_in_blocks

),

blocks_filled as (

    select
        {{ keys | join(',\n        ') }},
        block_number - 1 as block_number,
        min(min(received_at) filter (where thing_count = {{ at_most }})) over (
            partition by {{ keys | join(', ') }}
            order by block_number desc
            rows between unbounded preceding and current row
        ) as outnumbered_at,
    from things_counted
    group by {{ keys | join(', ') }}, block_number

),

facts_until as (

    select
        facts_in_blocks.*,
        least(
            facts_in_blocks.leaves_at,
            facts_in_blocks.superseded_at,
            {% if ends_at -%}
            facts_in_blocks.{{ ends_at }},
            {% endif -%}
            blocks_filled.outnumbered_at
        ) as known_until,
    from facts_in_blocks
    left join blocks_filled
        on
            {% for key in keys + ['block_number'] -%}
            {{ 'and ' if not loop.first }}facts_in_blocks.{{ key }}
            = blocks_filled.{{ key }}
            {% endfor %}
),

facts_summed as (

    select
        facts_until.*,
        greatest(facts_until.received_at, clock.known_from) as summed_at,
        case
            when facts_until.known_until is not null
                then greatest(facts_until.known_until, clock.known_from)
        end as summed_until,
    from facts_until
    cross join {{ ref('int_features__clock') }} as clock

),

changes as (

    select
        {{ entity }},
        received_at as changed_at,
        received_at,
    from facts_in_blocks
    {% if window %}
    union all

    select
        {{ entity }},
        leaves_at as changed_at,
        null as received_at,
    from facts_in_blocks
    {% endif %}
),

{{ changes_summed(entity) }},

moments as (

    select
        {{ entity }},
        summed_at,
        changed_at as event_timestamp,
        max(received_at) over so_far as created_timestamp,
        row_number() over (order by {{ entity }}, summed_at) as moment_number,
    from changes_summed
    window so_far as (
        partition by {{ entity }}
        order by summed_at
        rows between unbounded preceding and current row
    )

),

moments_last as (

    select
        {{ entity }},
        max(moment_number) as moment_number,
    from moments
    group by {{ entity }}

),

-- What leaves after the entity's last moment is known up to that one.
facts_with_moments as (

    select
        facts_summed.fact_number,
        {% for column in ([group] | select | list) + columns -%}
        facts_summed.{{ column }},
        {% endfor -%}
        facts_summed.fact_count > {{ at_most }} as has_more,
        range(
            known.moment_number,
            coalesce(gone.moment_number, moments_last.moment_number + 1)
        ) as moment_numbers,
    from facts_summed
    inner join moments as known
        on
            facts_summed.{{ entity }} = known.{{ entity }}
            and facts_summed.summed_at = known.summed_at
    inner join moments_last
        on facts_summed.{{ entity }} = moments_last.{{ entity }}
    left join moments as gone
        on
            facts_summed.{{ entity }} = gone.{{ entity }}
            and facts_summed.summed_until = gone.summed_at

),

facts_at_moments as (

    select
        * exclude (moment_numbers),
        unnest(moment_numbers) as moment_number,
    from facts_with_moments

),

-- Only where there are more facts than are wanted have they to be ranked.
known_at_moments as (

    select *
    from facts_at_moments
    where not has_more

    union all

    select *
    from facts_at_moments
    where has_more
    qualify
        row_number() over (
            partition by {{ ['moment_number', group] | select | join(', ') }}
            order by fact_number desc
        ) <= {{ at_most }}

)
{%- endmacro %}

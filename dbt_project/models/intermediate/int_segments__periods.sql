{%- set rules = segment_rules() -%}

with

windows as (

    select * from {{ ref('int_persons__windows') }}

),

-- A branch for each entry of the var `segments`: who is in it, from when to when.
memberships as (

    {% for rule in rules -%}
    select
        person_id,
        '{{ rule.name }}' as segment,
        valid_from,
        valid_to,
    {% if rule.periods -%}
    from {{ ref(rule.periods) }}
    {%- else -%}
    from windows
    where
        window_days = {{ rule.days }}
        and ({{ rule.condition }})
    {%- endif %}
    {%- if not loop.last %}

    union all

    {% endif -%}
    {%- endfor %}

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

-- An end after the last arrival has not happened yet: the period is open.
memberships_known as (

    select
        memberships.person_id,
        memberships.segment,
        memberships.valid_from,
        case
            when memberships.valid_to <= watermark.received_up_to
                then memberships.valid_to
        end as valid_to,
    from memberships
    cross join watermark
    where memberships.valid_from <= watermark.received_up_to

),

islands_started as (

    select
        *,
        coalesce(
            valid_from > max(coalesce(valid_to, timestamp '9999-12-31')) over (
                partition by person_id, segment
                order by valid_from, valid_to nulls last
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_island_start,
    from memberships_known

),

islands_numbered as (

    select
        *,
        sum(cast(is_island_start as integer)) over (
            partition by person_id, segment
            order by valid_from, valid_to nulls last
            rows between unbounded preceding and current row
        ) as island_number,
    from islands_started

),

final as (

    select
        person_id,
        segment,
        min(valid_from) as valid_from,
        nullif(
            max(coalesce(valid_to, timestamp '9999-12-31')),
            timestamp '9999-12-31'
        ) as valid_to,
    from islands_numbered
    group by person_id, segment, island_number

)

select * from final

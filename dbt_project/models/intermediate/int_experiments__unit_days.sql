{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='sync_all_columns',
    unique_key=['experiment_key', 'unit_id'],
    pre_hook=[
        "{{ forget_if_redefined(this) }}",
        "{{ forget_if_rebuilt(this, ref('fct_events')) }}",
        "{{ delete_units_no_longer_exposed(this, ref('fct_exposures')) }}",
    ],
    post_hook="{{ mark_definitions(this) }}",
) }}

{%- set metrics = experiment_metrics() %}
{%- set sources = experiment_sources(metrics) %}
{%- set relations = {
    'fct_events': ref('fct_events'), 'fct_sessions': ref('fct_sessions')
} %}
{%- set arrived = ref('int_events__deduplicated') %}
{%- set columns = experiment_day_columns(metrics, sources) %}
{%- set measures, timed, returns = columns.measures, columns.timed, columns.returns %}
{%- set kinds = experiment_unit_kinds() %}
{#- What of a row an increment compares; the rest follows from it. #}
{%- set of_unit = ['variant_key', 'exposed_at', 'device_class', 'channel', 'segment'] %}
{%- set days_of_unit %}
    partition by unit_number
    order by metric_date
    rows between unbounded preceding
{%- endset %}
{%- set up_to_day = 'over (' ~ days_of_unit ~ ' and current row)' %}
{%- set before_day = 'over (' ~ days_of_unit ~ ' and 1 preceding)' %}
{%- set is_increment = is_incremental() and is_built_as_defined(this) %}
{%- set may_lack = is_increment and may_hold_withdrawn(this, arrived) %}

-- The style check loses count of the indent in loops whose bodies span lines.
-- noqa: disable=LT02
with

exposures as (

    select
        experiment_key,
        unit_id,
        unit_kind,
        variant_key,
        exposed_at,
        exposure_date,
        coalesce(device_class, 'unknown') as device_class,
        coalesce(channel, 'unknown') as channel,
        coalesce(segment, 'none') as segment,
        -- While rows are made, one number in place of two texts.
        row_number() over (order by experiment_key, unit_id) as unit_number,
    from {{ ref('fct_exposures') }}
    where is_analysed

),

-- An event that is set aside, or becomes another's, leaves no trace with whose it was:
-- what is a unit's is told by a checksum.
units_checked as (

    {% for kind in kinds -%}
    {% if not loop.first -%}
    union all

    {% endif -%}
    select
        '{{ kind }}' as unit_kind,
        {{ kind }}_id as unit_id,
        bit_xor(hash(event_key)) as fact_check,
    from {{ ref('fct_events') }}
    where
        {{ kind }}_id in (
            select unit_id
            from exposures
            where unit_kind = '{{ kind }}'
        )
    group by 1, 2

    {% endfor -%}
),

{% if is_increment and not may_lack -%}
facts_changed as (

    select
        visitor_id,
        session_id,
    from {{ ref('fct_events') }}
    where change_seq > {{ last_change_seq(this) }}

    union all

    select
        visitor_id,
        session_id,
    from {{ ref('fct_sessions') }}
    where change_seq > {{ last_change_seq(this) }}

),

ids_changed as (

    select distinct
        'visitor' as unit_kind,
        visitor_id as unit_id,
    from facts_changed

    union all

    select distinct
        'session' as unit_kind,
        session_id as unit_id,
    from facts_changed

),

rows_first as (

    select *
    from {{ this }}
    where is_first_day

),

-- Units of which something happened, was seen for the first time, or is gone.
units as (

    select exposures.*
    from exposures
    left join ids_changed
        on
            exposures.unit_kind = ids_changed.unit_kind
            and exposures.unit_id = ids_changed.unit_id
    left join rows_first
        on
            exposures.experiment_key = rows_first.experiment_key
            and exposures.unit_id = rows_first.unit_id
    left join units_checked
        on
            exposures.unit_kind = units_checked.unit_kind
            and exposures.unit_id = units_checked.unit_id
    where
        ids_changed.unit_id is not null
        or rows_first.unit_id is null
        {%- for column in of_unit %}
        or exposures.{{ column }} is distinct from rows_first.{{ column }}
        {%- endfor %}
        or units_checked.fact_check is distinct from rows_first.fact_check

),

{% else -%}
units as (

    select * from exposures

),

{% endif -%}
{% for source in sources -%}
{{ source.model }}_of_units as (

    select
        visitor_id,
        person_id,
        session_id,
        {{ source.at }} as happened_at,
        {% for name, expression in source.measures.items() -%}
        cast(round(({{ expression }}) * 1000) as bigint) as {{ name }},
        {% endfor %}
    from {{ relations[source.model] }}
    where
        {{ source.where }}
        {%- if is_increment and not may_lack %}
        and {{ is_of_units(relations[source.model], kinds) }}
        {%- endif %}

),

{% endfor -%}
day_sums as (

    -- What was before the exposure has no day. Its own is there whatever is measured.
    select
        unit_number,
        exposure_date as metric_date,
        {% for measure in measures -%}
        cast(0 as bigint) as {{ measure }},
        {% endfor -%}
        {% for measure in timed -%}
        cast(null as bigint) as {{ measure }}__first,
        {% endfor %}
    from units
    {%- for source in sources %}
    {%- for kind in kinds %}

    union all by name

    select
        units.unit_number,
        case
            when facts.happened_at >= units.exposed_at
                then cast(facts.happened_at as date)
        end as metric_date,
        {% for name in source.measures -%}
        cast(coalesce(sum(facts.{{ name }}), 0) as bigint) as {{ name }},
        {% if name in timed -%}
        min(epoch_ms(facts.happened_at) - epoch_ms(units.exposed_at))
        filter (where facts.{{ name }} > 0) as {{ name }}__first,
        {% endif -%}
        {% endfor %}
    from units
    inner join {{ source.model }}_of_units as facts
        on
            units.unit_id = facts.{{ kind }}_id
            and facts.happened_at
            >= units.exposed_at - interval '{{ var("experiment_days_before") }} days'
    where units.unit_kind = '{{ kind }}'
    group by 1, 2
    {%- endfor %}
    {%- endfor %}

),

days as (

    select
        unit_number,
        metric_date,
        {% for measure in measures -%}
        cast(coalesce(sum({{ measure }}), 0) as bigint) as {{ measure }},
        {% endfor -%}
        {% for measure in timed -%}
        min({{ measure }}__first) as {{ measure }}__first,
        {% endfor %}
    from day_sums
    group by 1, 2

),

days_before as (

    select
        unit_number,
        {% for measure in measures -%}
        {{ measure }} as {{ measure }}__pre,
        {% endfor %}
    from days
    where metric_date is null

),

days_after as (

    select
        days.*,
        {% for metric in returns -%}
        days.metric_date - units.exposure_date
        between {{ metric.from_day | int }} and {{ metric.to_day | int }}
        and days.{{ metric.measure }} > 0 as {{ metric.name }}__back,
        {% endfor -%}
    from days
    inner join units
        on days.unit_number = units.unit_number
    where days.metric_date is not null

),

-- What the unit had come to at the end of the day, and before it.
days_summed as (

    select
        unit_number,
        metric_date,
        {% for measure in measures -%}
        cast(sum({{ measure }}) {{ up_to_day }} as bigint) as {{ measure }},
        cast(sum({{ measure }}) {{ up_to_day }} as bigint) - {{ measure }}
            as {{ measure }}__before,
        {% endfor -%}
        {% for measure in timed -%}
        min({{ measure }}__first) {{ up_to_day }} as {{ measure }}__first,
        min({{ measure }}__first) {{ before_day }} as {{ measure }}__first__before,
        {% endfor -%}
        {% for metric in returns -%}
        cast(bool_or({{ metric.name }}__back) {{ up_to_day }} as integer)
            as {{ metric.name }}__back,
        cast(
            coalesce(bool_or({{ metric.name }}__back) {{ before_day }}, false)
            as integer
        ) as {{ metric.name }}__back__before,
        {% endfor %}
    from days_after

),

rows_now as (

    select
        units.experiment_key,
        units.unit_id,
        days_summed.metric_date,
        units.variant_key,
        units.exposed_at,
        units.exposure_date,
        days_summed.metric_date = units.exposure_date as is_first_day,
        units.device_class,
        units.channel,
        units.segment,
        case
            when days_summed.metric_date = units.exposure_date
                then units_checked.fact_check
        end as fact_check,
        {% for column in columns.of_day -%}
        days_summed.{{ column }},
        {% endfor -%}
        {% for measure in measures -%}
        coalesce(days_before.{{ measure }}__pre, 0) as {{ measure }}__pre,
        {% endfor -%}
    from units
    inner join days_summed
        on units.unit_number = days_summed.unit_number
    left join days_before
        on units.unit_number = days_before.unit_number
    left join units_checked
        on
            units.unit_kind = units_checked.unit_kind
            and units.unit_id = units_checked.unit_id

),

final as (

    select
        rows_now.*,
        {% if is_increment -%}
        -- A row that stays as it was keeps its number: what is made of a day is made
        -- anew where one of its rows has changed.
        case
            when
                before.unit_id is not null
                {%- for column in of_unit + ['is_first_day']
                    + columns.of_day %}
                and rows_now.{{ column }} is not distinct from before.{{ column }}
                {%- endfor %}
                {%- for column in measures %}
                and rows_now.{{ column }}__pre is not distinct from before.{{ column }}__pre
                {%- endfor %}
                then before.change_seq
            else (select max(change_seq) from {{ ref('fct_events') }})
        end as change_seq,
        {%- else -%}
        (select max(change_seq) from {{ ref('fct_events') }}) as change_seq,
        {%- endif %}
    from rows_now
    {%- if is_increment %}
    left join {{ this }} as before
        on
            rows_now.experiment_key = before.experiment_key
            and rows_now.unit_id = before.unit_id
            and rows_now.metric_date = before.metric_date
    {%- endif %}

)

select * from final

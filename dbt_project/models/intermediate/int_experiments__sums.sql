{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    pre_hook=[
        "{{ forget_if_redefined(this) }}",
        "{{ delete_changed_days(this, ref('int_experiments__unit_days')) }}",
    ],
    post_hook="{{ mark_definitions(this) }}",
) }}

{%- set metrics = experiment_metrics()
    | rejectattr('kind', 'equalto', 'quantile') | list %}
{%- set groupings = {
    'all': 'exposure_date',
    'device_class': 'device_class',
    'channel': 'channel',
    'segment': 'segment',
} %}
{%- set unit_days = ref('int_experiments__unit_days') %}

with

unit_days as (

    {{ unit_days_to_make(this, unit_days) }}

),

-- In thousandths: integers add up to the same in any order, floats do not.
metric_values as (

    select
        experiment_key,
        variant_key,
        {{ groupings.values() | join(', ') }},
        metric_date,
        is_first_day,
        row_count,
        {% for metric in metrics -%}
        {{ experiment_values(metric) }}
        {% endfor %}
    from unit_days

),

-- Each row is looked at once, by all columns of groupings; those add up from these.
finest as (

    select
        experiment_key,
        variant_key,
        {{ groupings.values() | join(', ') }},
        metric_date,
        max(row_count) as row_count,
        count(*) filter (where is_first_day) as unit_count,
        {% for metric in metrics -%}
        {{ experiment_sums_of_day(metric) }}
        {% endfor %}
    from metric_values
    group by
        experiment_key,
        variant_key,
        {{ groupings.values() | join(', ') }},
        metric_date

),

summed as (

    {% for dimension, column in groupings.items() -%}
    select
        experiment_key,
        variant_key,
        '{{ dimension }}' as dimension,
        {{ "'all'" if dimension == 'all' else column }} as dimension_value,
        {{ column if dimension == 'all' else 'cast(null as date)' }} as exposure_date,
        metric_date,
        max(row_count) as row_count,
        cast(sum(unit_count) as bigint) as unit_count,
        {% for metric in metrics -%}
        {% for name in experiment_sum_names(metric) -%}
        sum({{ name }}) as {{ name }},
        {% endfor -%}
        {% endfor %}
    from finest
    group by experiment_key, variant_key, metric_date, {{ column }}
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

final as (

    {% for metric in metrics -%}
    select
        experiment_key,
        variant_key,
        '{{ metric.name }}' as metric_name,
        '{{ metric.kind }}' as metric_kind,
        dimension,
        dimension_value,
        exposure_date,
        metric_date,
        row_count,
        unit_count,
        {% for name, column in experiment_summed_columns(metric).items() -%}
        cast({{ column }} as hugeint) as {{ name }},
        {% endfor -%}
        (select max(change_seq) from {{ unit_days }}) as change_seq,
    from summed
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

)

select * from final

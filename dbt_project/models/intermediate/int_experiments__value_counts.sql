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
    | selectattr('kind', 'equalto', 'quantile') | list %}
{%- set unit_days = ref('int_experiments__unit_days') %}

with

unit_days as (

    {{ unit_days_to_make(this, unit_days) }}

),

-- A unit leaves the value that it had before the day and is counted at that of its end.
moves as (

    {% for metric in metrics -%}
    select
        experiment_key,
        variant_key,
        metric_date,
        row_count,
        '{{ metric.name }}' as metric_name,
        {{ experiment_value_step(metric) }} as value_thousandths,
        1 as unit_count,
    from unit_days

    union all

    select
        experiment_key,
        variant_key,
        metric_date,
        row_count,
        '{{ metric.name }}' as metric_name,
        {{ experiment_value_step(metric, before=true) }} as value_thousandths,
        -1 as unit_count,
    from unit_days
    where not is_first_day

    union all

    {% endfor -%}
    -- A project without a quantile moves nobody.
    select
        experiment_key,
        variant_key,
        metric_date,
        row_count,
        null as metric_name,
        null as value_thousandths,
        0 as unit_count,
    from unit_days
    where false

),

final as (

    select
        experiment_key,
        variant_key,
        metric_name,
        metric_date,
        value_thousandths,
        max(row_count) as row_count,
        cast(sum(unit_count) as bigint) as unit_count,
        (select max(change_seq) from {{ unit_days }}) as change_seq,
    from moves
    group by experiment_key, variant_key, metric_name, metric_date, value_thousandths

)

select * from final

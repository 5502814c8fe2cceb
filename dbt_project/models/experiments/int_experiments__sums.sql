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

{%- set metrics = experiment_metrics() | rejectattr('kind', 'equalto', 'quantile') | list %}
{%- set unit_days = ref('int_experiments__unit_days') %}

with

unit_days as (

    select
        *,
        count(*) over (partition by metric_date) as row_count,
    from {{ unit_days }}
    {%- if is_incremental() %}
    where metric_date in (
        select unnest(list(metric_date)) from {{ days_that_differ(this, unit_days) }}
    )
    {%- endif %}

),

-- In thousandths: integers add up to the same in any order, floats do not.
metric_values as (

    select
        experiment_key,
        variant_key,
        device_class,
        channel,
        segment,
        exposure_date,
        metric_date,
        is_first_day,
        row_count,
        {%- for metric in metrics %}
        cast({{ experiment_value(metric) }} as hugeint) as {{ metric.name }}__v,
        cast({{ experiment_value(metric, before=true) }} as hugeint)
            as {{ metric.name }}__v0,
        {%- if metric.denominator is defined %}
        cast({{ metric.denominator }} as hugeint) as {{ metric.name }}__d,
        cast({{ metric.denominator }}__before as hugeint) as {{ metric.name }}__d0,
        {%- endif %}
        cast({{ metric.measure }}__pre as hugeint) as {{ metric.name }}__x,
        {%- endfor %}
    from unit_days

),

summed as (

    select
        experiment_key,
        variant_key,
        case
            when grouping(exposure_date) = 0 then 'all'
            when grouping(device_class) = 0 then 'device_class'
            when grouping(channel) = 0 then 'channel'
            else 'segment'
        end as dimension,
        coalesce(device_class, channel, segment, 'all') as dimension_value,
        exposure_date,
        metric_date,
        max(row_count) as row_count,
        count(*) filter (where is_first_day) as unit_count,
        {%- for metric in metrics %}
        {%- set v, v0, x = metric.name ~ '__v', metric.name ~ '__v0', metric.name ~ '__x' %}
        sum({{ v }} - {{ v0 }}) as {{ v }},
        sum(({{ v }} - {{ v0 }}) * ({{ v }} + {{ v0 }})) as {{ v }}v,
        sum({{ x }}) filter (where is_first_day) as {{ x }},
        sum({{ x }} * {{ x }}) filter (where is_first_day) as {{ x }}x,
        sum({{ x }} * ({{ v }} - {{ v0 }})) as {{ v }}x,
        {%- if metric.denominator is defined %}
        {%- set d, d0 = metric.name ~ '__d', metric.name ~ '__d0' %}
        sum({{ d }} - {{ d0 }}) as {{ d }},
        sum(({{ d }} - {{ d0 }}) * ({{ d }} + {{ d0 }})) as {{ d }}d,
        sum({{ v }} * {{ d }} - {{ v0 }} * {{ d0 }}) as {{ v }}d,
        sum({{ x }} * ({{ d }} - {{ d0 }})) as {{ d }}x,
        {%- endif %}
        {%- endfor %}
    from metric_values
    group by grouping sets (
        (experiment_key, variant_key, metric_date, exposure_date),
        (experiment_key, variant_key, metric_date, device_class),
        (experiment_key, variant_key, metric_date, channel),
        (experiment_key, variant_key, metric_date, segment)
    )

),

final as (

    {%- for metric in metrics %}
    {%- set v, x, d = metric.name ~ '__v', metric.name ~ '__x', metric.name ~ '__d' %}
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
        {{ v }} as value_sum,
        {{ v }}v as value_sum_squares,
        {%- if metric.denominator is defined %}
        {{ d }} as denominator_sum,
        {{ d }}d as denominator_sum_squares,
        {{ v }}d as value_denominator_sum,
        {%- else %}
        cast(null as hugeint) as denominator_sum,
        cast(null as hugeint) as denominator_sum_squares,
        cast(null as hugeint) as value_denominator_sum,
        {%- endif %}
        coalesce({{ x }}, 0) as covariate_sum,
        coalesce({{ x }}x, 0) as covariate_sum_squares,
        {{ v }}x as value_covariate_sum,
        {%- if metric.denominator is defined %}
        {{ d }}x as denominator_covariate_sum,
        {%- else %}
        cast(null as hugeint) as denominator_covariate_sum,
        {%- endif %}
        (select max(change_seq) from {{ unit_days }}) as change_seq,
    from summed
    {%- if not loop.last %}

    union all
    {% endif %}
    {%- endfor %}

)

select * from final

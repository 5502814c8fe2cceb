{%- set metrics = experiment_metrics() %}

with

exposures as (

    select *
    from {{ ref('fct_exposures') }}
    where is_analysed

),

primary_metrics as (

    select * from {{ experiment_primary_metric_rows() }}

),

-- The phase that a unit was first exposed in says what it is judged by.
units as (

    select
        exposures.*,
        primary_metrics.metric_name,
    from exposures
    inner join primary_metrics
        on
            exposures.experiment_key = primary_metrics.experiment_key
            and exposures.exposed_at
            >= coalesce(primary_metrics.starts_at, timestamp '0001-01-01')
    qualify
        row_number() over (
            partition by exposures.experiment_key, exposures.unit_id
            order by primary_metrics.starts_at desc nulls last
        ) = 1

),

-- What each unit had come to on the last day on which it did something.
days_last as (

    select *
    from {{ ref('int_experiments__unit_days') }}
    qualify
        row_number() over (
            partition by experiment_key, unit_id
            order by metric_date desc
        ) = 1

),

final as (

    select
        units.experiment_key,
        units.unit_id,
        units.unit_kind,
        units.visitor_id,
        units.variant_key,
        units.exposed_at,
        units.metric_name,
        case units.metric_name
            {% for metric in metrics -%}
            when '{{ metric.name }}'
                then
                    {{ experiment_value_step(metric) if metric.kind == 'quantile'
                        else experiment_value(metric) }}
            {% endfor %}
        end / 1e3 as unit_value,
        case units.metric_name
            {% for metric in metrics if metric.denominator is defined -%}
            when '{{ metric.name }}' then days_last.{{ metric.denominator }}
            {% else -%}
            when '' then null
            {% endfor %}
        end / 1e3 as unit_denominator,
    from units
    inner join days_last
        on
            units.experiment_key = days_last.experiment_key
            and units.unit_id = days_last.unit_id

)

select * from final
where unit_value is not null

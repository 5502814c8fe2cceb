with

sums as (

    select *
    from {{ ref('int_experiments__sums') }}
    where dimension = 'all'

),

days as (

    select
        experiment_key,
        variant_key,
        metric_name,
        metric_kind,
        metric_date,
        {{ experiment_differences() }}
    from sums
    group by experiment_key, variant_key, metric_name, metric_kind, metric_date

),

final as (

    select
        experiment_key,
        variant_key,
        metric_name,
        metric_kind,
        metric_date,
        {{ experiment_sums('over up_to_day') }}
    from days
    window up_to_day as (
        partition by experiment_key, variant_key, metric_name
        order by metric_date
        rows between unbounded preceding and current row
    )

)

select * from final

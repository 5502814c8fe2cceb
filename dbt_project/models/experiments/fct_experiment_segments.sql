with

sums as (

    select *
    from {{ ref('int_experiments__sums') }}
    where dimension != 'all'

),

final as (

    select
        experiment_key,
        variant_key,
        metric_name,
        metric_kind,
        dimension,
        dimension_value,
        {{ experiment_sums() }}
    from sums
    group by
        experiment_key,
        variant_key,
        metric_name,
        metric_kind,
        dimension,
        dimension_value

)

select * from final

with

value_counts as (

    select * from {{ ref('int_experiments__value_counts') }}

),

final as (

    select
        experiment_key,
        variant_key,
        metric_name,
        value_thousandths / 1e3 as unit_value,
        cast(sum(unit_count) as bigint) as unit_count,
    from value_counts
    group by experiment_key, variant_key, metric_name, value_thousandths
    having sum(unit_count) != 0

)

select * from final

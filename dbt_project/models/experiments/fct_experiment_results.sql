with

final as (

    select * from {{ ref('stg_learned__experiment_results') }}

)

select * from final

with

final as (

    select * from {{ ref('int_identity__links') }}

)

select * from final

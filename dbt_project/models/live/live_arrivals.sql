with

final as (

    select * from {{ empty_relation(event_columns()) }}

)

select * from final

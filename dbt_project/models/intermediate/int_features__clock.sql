with

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

final as (

    select
        cast(null as timestamp) as known_from,
        max(received_at) as known_up_to,
    from facts

)

select * from final

with

links as (

    select * from {{ ref('int_identity__links') }}

),

final as (

    select
        visitor_id,
        person_id,
        linked_at,
        link_reason,
        link_source,
        link_event_id,
    from links
    where is_primary

)

select * from final

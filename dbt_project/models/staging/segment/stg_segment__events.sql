with

landed as (

    select * from {{ landed_source('segment_events') }}

),

mapped as (

    {{ calls_as_events('landed', 'segment') }}

),

final as (

    {{ as_events('mapped', 'segment') }}

)

select * from final

with

landed as (

    select * from {{ landed_source('rudderstack_events') }}

),

mapped as (

    {{ calls_as_events('landed', 'rudderstack') }}

),

final as (

    {{ as_events('mapped', 'rudderstack') }}

)

select * from final

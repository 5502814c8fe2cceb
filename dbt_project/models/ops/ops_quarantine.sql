with

door as (

    select
        source_format,
        landing_id,
        source_file,
        source_row,
        event_name,
        field,
        reason,
        'door' as quarantined_stage,
    from {{ ref('stg_raw__rejects') }}

),

staging as (

    select
        events.source_format,
        events.landing_id,
        events.source_file,
        events.source_row,
        events.event_name,
        'occurred_at' as field,
        'session is longer than {{ var("max_session_days") }} days' as reason,
        'staging' as quarantined_stage,
    from {{ ref('int_events__sessionized') }} as sessionized
    inner join {{ ref('int_events__deduplicated') }} as events
        on sessionized.event_id = events.event_id
    where sessionized.set_aside_reason = 'session_too_long'

),

final as (

    select * from door
    union all by name
    select * from staging

)

select * from final

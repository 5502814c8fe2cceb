with

refused as (

    select *
    from {{ ref('stg_raw__rejects') }}

),

replays as (

    select *
    from {{ ref('stg_deadletters__replays') }}

),

door as (

    select
        refused.deadletter_id,
        refused.source_format,
        refused.landing_id,
        refused.source_file,
        refused.source_row,
        refused.source,
        refused.schema_version,
        refused.event_name,
        refused.field,
        refused.reason,
        'door' as quarantined_stage,
        refused.received_at,
        replays.replayed_at,
    from refused
    left join replays
        on refused.deadletter_id = replays.deadletter_id

),

staging as (

    select
        cast(null as varchar) as deadletter_id,
        events.source_format,
        events.landing_id,
        events.source_file,
        events.source_row,
        events.source,
        events.schema_version,
        events.event_name,
        'occurred_at' as field,
        'session is longer than {{ var("max_session_days") }} days' as reason,
        'staging' as quarantined_stage,
        events.received_at,
        cast(null as timestamp) as replayed_at,
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

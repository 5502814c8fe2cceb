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
        case sessionized.set_aside_reason
            when 'session_too_long'
                then 'session is longer than {{ var("max_session_days") }} days'
            when 'created_too_long_before_sent'
                then
                    'occurred_at is more than '
                    || {{ source_setting(
                        'days_late_allowed', 'null', column='events.source'
                    ) }}
                    || ' days before sent_at'
        end as reason,
        'staging' as quarantined_stage,
        events.received_at,
        cast(null as timestamp) as replayed_at,
    from {{ ref('int_events__sessionized') }} as sessionized
    inner join {{ ref('int_events__deduplicated') }} as events
        on sessionized.event_id = events.event_id
    -- Nothing is wrong with an event without consent; it is merely not ours to use.
    where sessionized.set_aside_reason != 'no_analytics_consent'

),

final as (

    select * from door
    union all by name
    select * from staging

)

select * from final

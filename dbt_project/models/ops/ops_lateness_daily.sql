with

events as (

    select
        event_id,
        source,
        cast(occurred_at as date) as occurred_date,
        {{ is_late() }} as is_late,
    from {{ ref('int_events__deduplicated') }}
    where not {{ is_sessionless() }}

),

-- Consent that was not given is no lateness: the collection audit counts it.
events_set_aside as (

    select
        event_id,
        set_aside_reason,
    from {{ ref('int_events__sessionized') }}
    where set_aside_reason != 'no_analytics_consent'

),

sessions as (

    select * from {{ ref('int_sessions__lateness') }}

),

events_counted as (

    select
        events.source,
        events.occurred_date,
        count(*) as event_count,
        count(*) filter (where events.is_late) as late_event_count,
        count(events_set_aside.event_id) as set_aside_event_count,
        count(*) filter (
            where events_set_aside.set_aside_reason = 'session_too_long'
        ) as session_too_long_event_count,
        count(*) filter (
            where events_set_aside.set_aside_reason = 'created_too_long_before_sent'
        ) as created_too_long_before_sent_event_count,
    from events
    left join events_set_aside
        on events.event_id = events_set_aside.event_id
    group by events.source, events.occurred_date

),

sessions_counted as (

    select
        source,
        session_date,
        count(*) as session_count,
        count(*) filter (where is_measured) as measured_session_count,
        count(*) filter (where reopening_count > 0) as reopened_session_count,
        coalesce(sum(reopening_count), 0) as reopening_count,
        count(*) filter (where is_split_by_lateness) as split_session_count,
    from sessions
    group by source, session_date

),

final as (

    select
        coalesce(events_counted.source, sessions_counted.source) as source,
        coalesce(events_counted.occurred_date, sessions_counted.session_date)
            as occurred_date,
        coalesce(events_counted.event_count, 0) as event_count,
        coalesce(events_counted.late_event_count, 0) as late_event_count,
        events_counted.late_event_count / events_counted.event_count
            as late_event_rate,
        coalesce(sessions_counted.session_count, 0) as session_count,
        coalesce(sessions_counted.measured_session_count, 0)
            as measured_session_count,
        coalesce(sessions_counted.reopened_session_count, 0)
            as reopened_session_count,
        cast(coalesce(sessions_counted.reopening_count, 0) as bigint)
            as reopening_count,
        coalesce(sessions_counted.split_session_count, 0) as split_session_count,
        coalesce(events_counted.set_aside_event_count, 0) as set_aside_event_count,
        coalesce(events_counted.session_too_long_event_count, 0)
            as session_too_long_event_count,
        coalesce(events_counted.created_too_long_before_sent_event_count, 0)
            as created_too_long_before_sent_event_count,
        cast({{ var('late_after_minutes') }} as bigint) as late_after_minutes,
        cast({{ var('session_gap_minutes') }} as bigint) as session_gap_minutes,
    from events_counted
    full join sessions_counted
        on
            events_counted.source = sessions_counted.source
            and events_counted.occurred_date = sessions_counted.session_date

)

select * from final

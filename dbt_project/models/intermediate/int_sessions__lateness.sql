{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='session_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('fct_events')) }}",
        "{{ delete_rows_of_changed_events(this, 'first_event_id') }}",
    ],
) }}

with

sessions as (

    select * from {{ ref('fct_sessions') }}

),

events_in_changed_sessions as (

    {{ in_changed_sessions(ref('fct_events'), this) }}

),

events_judged as (

    select
        session_id,
        session_event_number,
        received_at,
        {{ is_late() }} as is_late,
        case when not ({{ is_late() }}) then occurred_at end as on_time_occurred_at,
        coalesce(
            source_session_id is not null
            and source in {{ sources_with('session_rule', 'source') }},
            false
        ) as has_source_session,
        change_seq,
    from events_in_changed_sessions

),

events_spaced as (

    select
        session_id,
        is_late,
        has_source_session,
        lag(received_at) over by_arrival < received_at - {{ session_gap() }}
            as is_reopening,
        lag(on_time_occurred_at ignore nulls) over by_occurrence
        < on_time_occurred_at - {{ session_gap() }} as is_start_without_late,
        change_seq,
    from events_judged
    window
        by_arrival as (partition by session_id order by received_at),
        by_occurrence as (partition by session_id order by session_event_number)

),

sessions_measured as (

    select
        session_id,
        bool_or(has_source_session) as has_source_session,
        count(*) filter (where is_late) as late_event_count,
        count(*) filter (where is_reopening) as reopening_count,
        count(*) filter (where is_start_without_late) as split_count,
        max(change_seq) as change_seq,
    from events_spaced
    group by session_id

),

final as (

    select
        sessions_measured.session_id,
        sessions.source,
        sessions.session_date,
        not sessions_measured.has_source_session as is_measured,
        sessions_measured.late_event_count,
        case
            when not sessions_measured.has_source_session
                then sessions_measured.reopening_count
        end as reopening_count,
        case
            when not sessions_measured.has_source_session
                then sessions_measured.split_count > 0
        end as is_split_by_lateness,
        sessions.first_event_id,
        sessions_measured.change_seq,
    from sessions_measured
    inner join sessions
        on sessions_measured.session_id = sessions.session_id

)

select * from final

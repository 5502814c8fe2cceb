{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('int_events__deduplicated')) }}",
        "{{ delete_sessions_of_withdrawn_events(this) }}",
    ],
) }}

{%- set gap = "interval '" ~ var('session_gap_minutes') ~ " minutes'" %}
{%- set cap = "interval '" ~ var('max_session_days') ~ " days'" %}

with

events as (

    select
        event_id,
        visitor_id,
        occurred_at,
        event_name = 'page_view' as is_page_view,
        bot_reason as declared_bot_reason,
        coalesce(
            source_session_id is not null
            and source in {{ sources_with('session_rule', 'source') }},
            false
        ) as has_source_session,
        case
            when
                source_session_id is not null
                and source in {{ sources_with('session_rule', 'source') }}
                then source || ':' || source_session_id
            else visitor_id
        end as session_scope,
        has_analytics_consent,
        change_seq,
    from {{ ref('int_events__deduplicated') }}

),

{% if is_incremental() %}
events_changed as (

    select *
    from events
    where {{ has_changed_since(this) }}

),

sessions_nearby as (

    select
        session_scope,
        session_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
    from {{ this }}
    where
        session_scope in (select session_scope from events_changed)
        and session_id is not null
    group by session_scope, session_id

),

-- Exactly the sessions that a changed event touches: those within one gap of it, those
-- of the same source session, and the one that held an earlier version of it.
sessions_reopened as (

    select sessions_nearby.session_id
    from sessions_nearby
    inner join events_changed
        on
            sessions_nearby.session_scope = events_changed.session_scope
            and (
                events_changed.has_source_session
                or events_changed.occurred_at between
                    sessions_nearby.started_at - {{ gap }}
                    and sessions_nearby.ended_at + {{ gap }}
            )

    union

    select session_id
    from {{ this }}
    where
        event_id in (select event_id from events_changed)
        and session_id is not null

),

event_ids_to_place as (

    select event_id
    from {{ this }}
    where session_id in (select session_id from sessions_reopened)

    union

    select event_id from events_changed

),

events_to_place as (

    select *
    from events
    where event_id in (select event_id from event_ids_to_place)

),
{% else %}
events_to_place as (

    select * from events

),
{% endif %}

events_ordered as (

    select
        *,
        row_number() over visit as event_number,
        row_number() over visit = 1
        or (
            not has_source_session
            and lag(occurred_at) over visit < occurred_at - {{ gap }}
        ) as is_session_start,
    from events_to_place
    where has_analytics_consent
    window visit as (partition by session_scope order by occurred_at, event_id)

),

sessions_started as (

    select
        *,
        last_value(
            case when is_session_start then event_id end ignore nulls
        ) over visit as first_event_id,
        last_value(
            case when is_session_start then occurred_at end ignore nulls
        ) over visit as session_started_at,
        last_value(
            case when is_session_start then event_number end ignore nulls
        ) over visit as first_event_number,
    from events_ordered
    window visit as (
        partition by session_scope
        order by occurred_at, event_id
        rows between unbounded preceding and current row
    )

),

sessions_judged as (

    select
        first_event_id,
        max(declared_bot_reason) as declared_bot_reason,
        count(*) filter (where is_page_view) >= {{ var('bot_min_page_views') }}
        and count(*) filter (where is_page_view)
        > {{ var('bot_page_views_per_hour') }}
        * greatest(
            epoch_ms(max(occurred_at)) - epoch_ms(min(occurred_at)), 1
        ) / 3600000.0 as is_machine_fast,
    from sessions_started
    group by first_event_id

),

sessions_placed as (

    select
        sessions_started.event_id,
        sessions_started.session_scope,
        md5(
            sessions_started.session_scope
            || case
                when sessions_started.has_source_session then ''
                else '|' || sessions_started.first_event_id
            end
        ) as session_id,
        sessions_started.occurred_at,
        cast(
            sessions_started.event_number - sessions_started.first_event_number + 1
            as integer
        ) as session_event_number,
        coalesce(
            sessions_judged.declared_bot_reason,
            case when sessions_judged.is_machine_fast then 'machine_fast' end
        ) as bot_reason,
        case
            when
                sessions_started.occurred_at
                > sessions_started.session_started_at + {{ cap }}
                then 'session_too_long'
        end as set_aside_reason,
        sessions_started.change_seq,
    from sessions_started
    inner join sessions_judged
        on sessions_started.first_event_id = sessions_judged.first_event_id

    union all by name

    -- Nobody's session: counted by the audit, used for nothing else.
    select
        event_id,
        session_scope,
        occurred_at,
        'no_analytics_consent' as set_aside_reason,
        change_seq,
    from events_to_place
    where not has_analytics_consent

),

final as (

    select
        * exclude (change_seq),
        {% if is_incremental() -%}
        max(change_seq) over () as change_seq,
        {%- else -%}
        change_seq,
        {%- endif %}
    from sessions_placed

)

select * from final

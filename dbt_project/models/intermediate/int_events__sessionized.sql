{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_key',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('int_events__deduplicated')) }}",
        "{{ delete_sessions_of_withdrawn_events(this) }}",
    ],
) }}

{%- set cap = "interval '" ~ var('max_session_days') ~ " days'" %}

{#- Of an event as it arrived, what decides about its session. -#}
{%- set what_decides %}
        event_key,
        event_id,
        visitor_id,
        source,
        event_name,
        page_view_id,
        occurred_at,
        received_at,
        clock_skew_seconds,
        engaged_seconds,
        {{ is_page_ping() }} as is_page_ping,
        bot_reason as declared_bot_reason,
        {{ has_source_session('arrived') }} as has_source_session,
        {{ is_sessionless() }} as is_sessionless,
        {{ session_scope('arrived') }} as session_scope,
        {{ refused_reason('arrived') }} as refused_reason,
        change_seq,
{%- endset %}

with

{% if is_incremental() %}
events_changed as (

    select
        {{ what_decides }}
    from {{ ref('int_events__deduplicated') }} as arrived
    where {{ has_changed_since(this) }}

),

-- Where an earlier version of a changed event is placed.
events_before as (

    select
        session_scope,
        session_id,
    from {{ this }}
    where {{ is_found_by(this, 'event_key', 'events_changed') }}

),

scopes_touched as (

    select session_scope from events_changed

    union

    select session_scope from events_before

),

events_nearby as (

    select
        event_key,
        session_scope,
        session_id,
        occurred_at,
    from {{ this }}
    where
        {{ is_found_by(this, 'session_scope', 'scopes_touched') }}
        and session_id is not null

),

sessions_nearby as (

    select
        session_scope,
        session_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
    from events_nearby
    group by session_scope, session_id

),

-- Exactly the sessions that a changed event touches: those within one gap of it, those
-- of the same source session, and the one that held an earlier version of it. An event
-- that is in no session touches none.
sessions_reopened as (

    select sessions_nearby.session_id
    from sessions_nearby
    inner join events_changed
        on
            sessions_nearby.session_scope = events_changed.session_scope
            and events_changed.refused_reason is null
            and not events_changed.is_sessionless
            and (
                events_changed.has_source_session
                or events_changed.occurred_at between
                    sessions_nearby.started_at - {{ session_gap() }}
                    and sessions_nearby.ended_at + {{ session_gap() }}
            )

    union

    select session_id
    from events_before
    where session_id is not null

),

keys_to_place as (

    select event_key
    from events_nearby
    where session_id in (select session_id from sessions_reopened)

    union

    select event_key from events_changed

),

{% endif %}
events_to_place as (

    select
        {{ what_decides }}
    from {{ ref('int_events__deduplicated') }} as arrived
    {% if is_incremental() -%}
    where {{ is_found_by(ref('int_events__deduplicated'), 'event_key', 'keys_to_place') }}
    {%- endif %}

),

events_ordered as (

    select
        *,
        row_number() over visit as event_number,
        row_number() over visit = 1
        or (
            not has_source_session
            and lag(occurred_at) over visit < occurred_at - {{ session_gap() }}
        ) as is_session_start,
    from events_to_place
    where
        refused_reason is null
        and not is_sessionless
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

sessions_capped as (

    select
        *,
        occurred_at > session_started_at + {{ cap }} as is_beyond_longest,
    from sessions_started

),

-- See the macro file heartbeats for the arithmetic, and why it goes by arrival.
heartbeats as (

    select
        event_id,
        row_number() over by_page_view = 1 as is_page_view,
        case
            when not is_page_ping then null
            when row_number() over by_kind = 1 then {{ min_visit_seconds() }}
            when row_number() over by_bucket = 1
                then {{ source_setting('heartbeat_seconds', var('heartbeat_seconds')) }}
            else 0
        end * 1000 as engaged_milliseconds,
    from sessions_capped
    where
        source in {{ sources_with('engagement', 'heartbeat') }}
        and (is_page_ping or event_name = 'page_view')
        and page_view_id is not null
    window
        by_page_view as (
            partition by first_event_id, is_beyond_longest, page_view_id
            order by received_at, occurred_at, event_id
        ),
        by_kind as (
            partition by
                first_event_id, is_beyond_longest, page_view_id, is_page_ping
            order by received_at, occurred_at, event_id
        ),
        by_bucket as (
            partition by
                first_event_id,
                is_beyond_longest,
                page_view_id,
                is_page_ping,
                {{ heartbeat_bucket() }}
            order by received_at, occurred_at, event_id
        )

),

events_measured as (

    select
        sessions_capped.*,
        coalesce(
            heartbeats.is_page_view, sessions_capped.event_name = 'page_view'
        ) as is_page_view,
        case
            when sessions_capped.is_page_ping
                then coalesce(heartbeats.engaged_milliseconds, 0)
            else cast(round(sessions_capped.engaged_seconds * 1000) as bigint)
        end as engaged_milliseconds,
    from sessions_capped
    left join heartbeats
        on sessions_capped.event_id = heartbeats.event_id

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
    from events_measured
    group by first_event_id

),

sessions_placed as (

    select
        events_measured.event_key,
        events_measured.event_id,
        events_measured.session_scope,
        md5(
            events_measured.session_scope
            || case
                when events_measured.has_source_session then ''
                else '|' || events_measured.first_event_id
            end
        ) as session_id,
        events_measured.occurred_at,
        cast(
            events_measured.event_number - events_measured.first_event_number + 1
            as integer
        ) as session_event_number,
        coalesce(
            sessions_judged.declared_bot_reason,
            case when sessions_judged.is_machine_fast then 'machine_fast' end
        ) as bot_reason,
        events_measured.is_page_view,
        events_measured.is_page_ping,
        events_measured.engaged_milliseconds,
        case
            when events_measured.is_beyond_longest then 'session_too_long'
        end as set_aside_reason,
        events_measured.change_seq,
    from events_measured
    inner join sessions_judged
        on events_measured.first_event_id = sessions_judged.first_event_id

    union all by name

    -- Nobody's session: counted and quarantined, used for nothing else.
    select
        event_key,
        event_id,
        session_scope,
        occurred_at,
        refused_reason as set_aside_reason,
        change_seq,
    from events_to_place
    where refused_reason is not null

    union all by name

    -- In the facts without a session: no page was seen and no time was spent.
    select
        event_key,
        event_id,
        session_scope,
        occurred_at,
        declared_bot_reason as bot_reason,
        false as is_page_view,
        false as is_page_ping,
        change_seq,
    from events_to_place
    where
        refused_reason is null
        and is_sessionless

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

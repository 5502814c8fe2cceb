{{ config(materialized='table') }}

with

events as (

    select
        event_id,
        event_name,
        source,
        occurred_at,
        visitor_id,
        user_id,
        contact_id,
        previous_visitor_id,
        previous_user_id,
        {{ is_sessionless() }} as is_snapshot,
    from {{ ref('int_events__deduplicated') }}
    where
        (user_id is not null or contact_id is not null)
        and has_analytics_consent

),

-- Each pair of identifiers has one direction: a device points to whom it may belong, a
-- contact to its account, of two accounts the lesser id to the greater.
sightings as (

    select
        'visitor' as identifier_type,
        visitor_id as identifier,
        'user' as other_identifier_type,
        user_id as other_identifier,
        case event_name
            when 'identify' then 'identify'
            else 'signed_in_event'
        end as reason,
        event_id,
        source,
        occurred_at,
        is_snapshot,
    from events
    where user_id is not null

    union all by name

    select
        'visitor' as identifier_type,
        previous_visitor_id as identifier,
        'user' as other_identifier_type,
        user_id as other_identifier,
        'alias' as reason,
        event_id,
        source,
        occurred_at,
        is_snapshot,
    from events
    where
        event_name = 'alias'
        and previous_visitor_id is not null

    union all by name

    select
        'visitor' as identifier_type,
        visitor_id as identifier,
        'contact' as other_identifier_type,
        contact_id as other_identifier,
        'contact' as reason,
        event_id,
        source,
        occurred_at,
        is_snapshot,
    from events
    where user_id is null

    union all by name

    select
        'contact' as identifier_type,
        contact_id as identifier,
        'user' as other_identifier_type,
        user_id as other_identifier,
        'contact' as reason,
        event_id,
        source,
        occurred_at,
        is_snapshot,
    from events
    where
        contact_id is not null
        and user_id is not null

    union all by name

    select
        'user' as identifier_type,
        least(previous_user_id, user_id) as identifier,
        'user' as other_identifier_type,
        greatest(previous_user_id, user_id) as other_identifier,
        'alias' as reason,
        event_id,
        source,
        occurred_at,
        is_snapshot,
    from events
    where
        event_name = 'alias'
        and previous_user_id != user_id

),

final as (

    select
        identifier_type,
        identifier,
        other_identifier_type,
        other_identifier,
        cast(occurred_at as date) as evidence_date,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        count(distinct event_id) as event_count,
        arg_min(reason, (occurred_at, event_id, reason)) as link_reason,
        arg_min(source, (occurred_at, event_id, reason)) as link_source,
        arg_min(event_id, (occurred_at, event_id, reason)) as link_event_id,
        bool_and(is_snapshot) as is_of_snapshots,
    from sightings
    group by all

)

select * from final

{{ config(materialized='table') }}

with

signed_in as (

    select
        visitor_id,
        user_id,
        event_id,
        event_name,
        source,
        occurred_at,
    from {{ ref('int_events__deduplicated') }}
    where
        user_id is not null
        and has_analytics_consent

),

links as (

    select
        visitor_id,
        user_id,
        min(occurred_at) as linked_at,
        arg_min(event_id, (occurred_at, event_id)) as link_event_id,
        arg_min(source, (occurred_at, event_id)) as link_source,
        case arg_min(event_name, (occurred_at, event_id))
            when 'identify' then 'identify'
            else 'signed_in_event'
        end as link_reason,
    from signed_in
    group by visitor_id, user_id

),

-- A visitor belongs to the user who signed in on it first. A second user on the same
-- device keeps his own signed-in events and is never glued to the first.
final as (

    select
        *,
        row_number() over (
            partition by visitor_id
            order by linked_at, link_event_id
        ) = 1 as is_primary,
        {{ person_key('user', 'user_id') }} as person_id,
    from links

)

select * from final

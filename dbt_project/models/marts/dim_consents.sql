with

events as (

    select
        *,
        not {{ is_consent_unstated() }} as is_stated,
    from {{ ref('int_events__deduplicated') }}

),

identities as (

    select * from {{ ref('bridge_identities') }}

),

-- What was said last. Whoever withdraws all of it says so in an event that no other
-- table may use, so this reads events whatever their consent. What says nothing is no
-- word against what was said.
final as (

    select
        identities.identifier as visitor_id,
        identities.person_id,
        bool_or(events.is_stated) as is_stated,
        max_by(
            events.has_analytics_consent,
            (events.is_stated, events.occurred_at, events.event_id)
        ) as has_analytics_consent,
        max_by(
            events.has_personalization_consent,
            (events.is_stated, events.occurred_at, events.event_id)
        ) as has_personalization_consent,
        max_by(
            events.has_marketing_consent,
            (events.is_stated, events.occurred_at, events.event_id)
        ) as has_marketing_consent,
        max(events.occurred_at) filter (where events.is_stated) as stated_at,
    from identities
    inner join events
        on identities.identifier = events.visitor_id
    where identities.identifier_type = 'visitor'
    group by identities.identifier, identities.person_id

)

select * from final

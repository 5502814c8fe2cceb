with

visitors as (

    select * from {{ ref('int_identity__visitors') }}

),

links as (

    select * from {{ ref('int_identity__links') }}

),

visitors_first_seen as (

    select
        visitor_id,
        min(occurred_at) as first_seen_at,
        arg_min(source, (occurred_at, event_id)) as source,
        arg_min(event_id, (occurred_at, event_id)) as first_event_id,
    from {{ ref('fct_events') }}
    group by visitor_id

),

lone_visitors as (

    select
        'visitor' as identifier_type,
        visitors_first_seen.visitor_id as identifier,
        {{ person_key('visitor', 'visitors_first_seen.visitor_id') }} as person_id,
        visitors_first_seen.first_seen_at as linked_at,
        'own' as link_reason,
        visitors_first_seen.source as link_source,
        visitors_first_seen.first_event_id as link_event_id,
    from visitors_first_seen
    where visitors_first_seen.visitor_id not in (select visitor_id from visitors)

),

signed_in_visitors as (

    select
        'visitor' as identifier_type,
        visitor_id as identifier,
        person_id,
        linked_at,
        link_reason,
        link_source,
        link_event_id,
    from visitors

),

users as (

    select
        'user' as identifier_type,
        user_id as identifier,
        arg_min(person_id, (linked_at, link_event_id)) as person_id,
        min(linked_at) as linked_at,
        'own' as link_reason,
        arg_min(link_source, (linked_at, link_event_id)) as link_source,
        arg_min(link_event_id, (linked_at, link_event_id)) as link_event_id,
    from links
    group by user_id

),

final as (

    select * from lone_visitors
    union all by name
    select * from signed_in_visitors
    union all by name
    select * from users

)

select * from final

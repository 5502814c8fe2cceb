with

persons as (

    select * from {{ ref('int_identity__persons') }}

),

visitors_linked as (

    select identifier
    from persons
    where identifier_type = 'visitor'

),

lone_visitors as (

    select
        'visitor' as identifier_type,
        visitor_id as identifier,
        {{ person_key('visitor', 'visitor_id') }} as person_id,
        min(occurred_at) as linked_at,
        'own' as link_reason,
        arg_min(source, (occurred_at, event_id)) as link_source,
        arg_min(event_id, (occurred_at, event_id)) as link_event_id,
    from {{ ref('fct_events') }}
    where visitor_id not in (select identifier from visitors_linked)
    group by visitor_id

),

final as (

    select
        identifier_type,
        identifier,
        person_id,
        linked_at,
        link_reason,
        link_source,
        link_event_id,
        linked_to_type,
        linked_to,
    from persons

    union all by name

    select * from lone_visitors

)

select * from final

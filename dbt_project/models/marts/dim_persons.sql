with

sessions as (

    select * from {{ ref('fct_sessions') }}

),

events as (

    select * from {{ ref('fct_events') }}

),

orders as (

    select
        person_id,
        count(*) as order_count,
        sum(revenue_cents) as revenue_cents,
    from {{ ref('fct_orders') }}
    group by person_id

),

session_counts as (

    select
        person_id,
        count(*) as session_count,
    from sessions
    group by person_id

),

persons as (

    select
        person_id,
        min(occurred_at) as first_seen_at,
        max(occurred_at) as last_seen_at,
        -- Who is known by an import alone was seen on no device.
        count(distinct visitor_id) filter (where session_id is not null)
            as visitor_count,
        bool_or(is_bot) as is_bot,
    from events
    group by person_id

),

final as (

    select
        persons.person_id,
        persons.first_seen_at,
        persons.last_seen_at,
        persons.visitor_count,
        persons.person_id in (
            select person_id
            from {{ ref('int_identity__persons') }}
            where identifier_type = 'user'
        ) as is_known,
        persons.is_bot,
        coalesce(session_counts.session_count, 0) as session_count,
        coalesce(orders.order_count, 0) as order_count,
        cast(coalesce(orders.revenue_cents, 0) as bigint) as revenue_cents,
    from persons
    left join session_counts
        on persons.person_id = session_counts.person_id
    left join orders
        on persons.person_id = orders.person_id

)

select * from final

with

arrivals as (

    select
        source,
        cast(received_at as date) as received_date,
        case
            when received_at <= occurred_at + interval '1 minute'
                then '1: up to 1 minute'
            when received_at <= occurred_at + interval '10 minutes'
                then '2: up to 10 minutes'
            when received_at <= occurred_at + interval '1 hour'
                then '3: up to 1 hour'
            when received_at <= occurred_at + interval '1 day'
                then '4: up to 1 day'
            else '5: more than 1 day'
        end as delay_bucket,
        {{ is_late() }} as is_late,
    from {{ ref('int_events__deduplicated') }}
    -- What comes as a snapshot is as old as it is: late it is not.
    where not {{ is_sessionless() }}

),

final as (

    select
        source,
        received_date,
        delay_bucket,
        is_late,
        count(*) as event_count,
    from arrivals
    group by all

)

select * from final

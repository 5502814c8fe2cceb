with

arrivals as (

    select
        source,
        cast(received_at as date) as received_date,
        epoch_ms(received_at) - epoch_ms(occurred_at) as delay_milliseconds,
    from {{ ref('int_events__deduplicated') }}

),

final as (

    select
        source,
        received_date,
        case
            when delay_milliseconds <= 60000 then '1: up to 1 minute'
            when delay_milliseconds <= 600000 then '2: up to 10 minutes'
            when delay_milliseconds <= 3600000 then '3: up to 1 hour'
            when delay_milliseconds <= 86400000 then '4: up to 1 day'
            else '5: more than 1 day'
        end as delay_bucket,
        delay_milliseconds > {{ var('late_after_minutes') }} * 60000 as is_late,
        count(*) as event_count,
    from arrivals
    group by all

)

select * from final

with

final as (

    select cast(unnest(range(
        date '{{ var("first_day") }}', date '{{ var("last_day") }}', interval 1 day
    )) as date) as calendar_date

)

select * from final

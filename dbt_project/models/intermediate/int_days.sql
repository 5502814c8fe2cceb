with

final as (

    select cast(unnest(range(
        date '{{ var("first_day") }}', date '{{ var("last_day") }}', interval 1 day
    )) as date) as day

)

select * from final

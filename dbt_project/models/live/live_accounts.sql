with

{{ accounts_of_visitors() }},

final as (

    select
        visitor_id,
        user_id,
        ends_at,
        row_number() over (
            partition by user_id order by begins_at desc, visitor_id desc
        ) <= {{ var('max_visitors_per_person') }} as is_of_the_last,
    from accounts_of_visitors

)

select * from final

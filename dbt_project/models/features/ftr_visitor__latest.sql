with

facts as (

    select *
    from {{ ref('int_events__feature_facts') }}
    where event_name in ('page_view', 'view_item', 'add_to_cart', 'purchase')

),

-- The latest by occurrence among those known so far; an event that arrives late changes
-- nothing that happened after it.
known_so_far as (

    select
        visitor_id,
        event_id,
        occurred_at,
        received_at,
        max(occurred_at) over so_far as last_event_at,
        arg_max(page_type, (occurred_at, event_id))
        filter (where page_type is not null) over so_far as last_page_type,
        arg_max(item_id, (occurred_at, event_id))
        filter (where item_id is not null) over so_far as last_item_id,
        arg_max(item_category, (occurred_at, event_id))
        filter (where item_category is not null) over so_far as last_item_category,
        arg_max(item_id, (occurred_at, event_id))
        filter (where event_name = 'add_to_cart') over so_far as last_cart_item_id,
        max(occurred_at)
        filter (where event_name = 'purchase') over so_far as last_purchase_at,
        row_number() over (
            partition by visitor_id, received_at
            order by occurred_at desc, event_id desc
        ) as row_number_at_moment,
    from facts
    -- `range`: events that arrive at the same moment become known together.
    window so_far as (
        partition by visitor_id
        order by received_at
        range between unbounded preceding and current row
    )

),

final as (

    select
        visitor_id,
        received_at as event_timestamp,
        received_at as created_timestamp,
        last_event_at,
        last_page_type,
        last_item_id,
        last_item_category,
        last_cart_item_id,
        last_purchase_at,
    from known_so_far
    where row_number_at_moment = 1

)

select * from final

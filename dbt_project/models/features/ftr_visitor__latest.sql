with

facts as (

    select
        facts.*,
        greatest(facts.received_at, clock.known_from) as summed_at,
    from {{ ref('int_events__feature_facts') }} as facts
    cross join {{ ref('int_features__clock') }} as clock
    where
        facts.event_name in ('page_view', 'view_item', 'add_to_cart', 'purchase')
        and facts.received_at <= clock.known_up_to

),

-- What became known together is one, so that a long history is looked at once. A thing
-- goes with when it occurred, which tells the latest of any.
facts_summed as (

    select
        visitor_id,
        summed_at,
        max(received_at) as received_at,
        max(occurred_at) as last_event_at,
        max(occurred_at)
        filter (where event_name = 'purchase') as last_purchase_at,
        max({ 'at': occurred_at, 'id': event_id, 'thing': page_type })
        filter (where page_type is not null) as last_page_type,
        max({ 'at': occurred_at, 'id': event_id, 'thing': item_id })
        filter (where item_id is not null) as last_item,
        max({ 'at': occurred_at, 'id': event_id, 'thing': item_category })
        filter (where item_category is not null) as last_category,
        max({ 'at': occurred_at, 'id': event_id, 'thing': item_id })
        filter (where event_name = 'add_to_cart' and item_id is not null)
            as last_cart_item,
    from facts
    group by visitor_id, summed_at

),

-- The latest by occurrence among those known so far; an event that arrives late changes
-- nothing that happened after it.
final as (

    select
        visitor_id,
        received_at as event_timestamp,
        received_at as created_timestamp,
        max(last_event_at) over so_far as last_event_at,
        (max(last_page_type) over so_far).thing as last_page_type,
        (max(last_item) over so_far).thing as last_item_id,
        (max(last_category) over so_far).thing as last_item_category,
        (max(last_cart_item) over so_far).thing as last_cart_item_id,
        max(last_purchase_at) over so_far as last_purchase_at,
    from facts_summed
    window so_far as (
        partition by visitor_id
        order by summed_at
        rows between unbounded preceding and current row
    )

)

select * from final

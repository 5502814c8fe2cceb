{#- What an event may hold; more lines of an order are in its amount alone. -#}
{%- set most_items = 200 %}

with

landed as (

    select * from {{ landed_source('crm_events') }}

),

contacts as (

    select
        -- Somebody touched the record and changed nothing that is kept: the same event.
        event_id,
        'identify' as event_name,
        modified_at as occurred_at,
        modified_at as received_at,
        visitor_id,
        user_id,
        coalesce(contact_id, contact_key_id) as contact_id,
        consent_analytics,
        consent_personalization,
        consent_marketing,
        nullif(
            json_merge_patch(
                coalesce(properties, '{}'),
                json_object('created_date', strftime(created_at, '%Y-%m-%d'))
            ),
            '{}'
        ) as properties,
        source_file,
        source_row,
        landing_id,
    from landed
    where kind = 'contact'

),

-- Rows with an item are the lines of one order as it was at one moment; any other row
-- is an order by itself.
order_rows as (

    select
        *,
        case when item_id is null then event_id end as single_id,
        case
            when item_id is not null
                then json_merge_patch(
                    '{}',
                    to_json(struct_pack(
                        item_id := item_id,
                        item_category := nullif(item_category, '***'),
                        item_brand := nullif(item_brand, '***'),
                        price_cents := price_cents,
                        quantity := coalesce(quantity, 1)
                    ))
                )
        end as order_line,
    from landed
    where kind = 'order'

),

orders_gathered as (

    select
        *,
        string_agg(event_id, '|') over by_content as line_ids,
        list(order_line) over by_row as order_lines,
        max(revenue_cents) over by_row as stated_cents,
        sum(price_cents * coalesce(quantity, 1)) over by_row as line_cents,
        row_number() over (
            partition by landing_id, source_file, order_id, modified_at, single_id
            order by source_row
        ) as row_number_in_order,
    from order_rows
    window
        by_content as (
            partition by landing_id, source_file, order_id, modified_at, single_id
            order by event_id
            rows between unbounded preceding and unbounded following
        ),
        by_row as (
            partition by landing_id, source_file, order_id, modified_at, single_id
            order by source_row
            rows between unbounded preceding and unbounded following
        )

),

orders as (

    select
        *,
        -- The export knows no arrival: what the CRM wrote last is known since then.
        coalesce(modified_at, ordered_at) as stated_at,
        coalesce(stated_cents, line_cents) as order_cents,
        coalesce(is_sold, true) as is_purchase,
        -- A row that is in a file twice is one order, two equal lines are two.
        coalesce(single_id, line_ids) as whole_content,
    from orders_gathered
    where row_number_in_order = 1

),

purchases as (

    select
        -- An order that goes back to what it was is a statement of its own.
        {{ row_hash(['whole_content', 'modified_at']) }} as event_id,
        case when is_purchase then 'purchase' else 'order_status' end as event_name,
        -- A deal is won before the day that it was to close on.
        least(ordered_at, stated_at) as occurred_at,
        stated_at as received_at,
        visitor_id,
        user_id,
        contact_id,
        order_id,
        order_cents as revenue_cents,
        case when order_cents is not null then coalesce(currency, 'XXX') end
            as currency,
        case when single_id is null then to_json(order_lines[1:{{ most_items }}]) end
            as items,
        consent_analytics,
        consent_personalization,
        consent_marketing,
        nullif(
            json_merge_patch(
                coalesce(properties, '{}'), json_object('status', order_status)
            ),
            '{}'
        ) as properties,
        source_file,
        source_row,
        landing_id,
    from orders

),

statements as (

    select * from contacts
    union all by name
    select * from purchases

),

mapped as (

    select
        *,
        '1.2' as schema_version,
        'crm' as source,
    from statements

),

final as (

    {{ as_events('mapped', 'crm') }}

)

select * from final

with

landed as (

    select *
    from {{ landed_rows(
        source('raw', 'rees46_events'),
        'raw/format=rees46/landing_id=*/events.parquet',
        dict({
            'event_id': 'varchar',
            'event_time': 'timestamp',
            'event_type': 'varchar',
            'product_id': 'varchar',
            'category_code': 'varchar',
            'brand': 'varchar',
            'price_cents': 'bigint',
            'visitor_id': 'varchar',
            'user_session': 'varchar',
        }, **provenance_columns())
    ) }}

),

mapped as (

    select
        event_id,
        case event_type
            when 'view' then 'view_item'
            when 'cart' then 'add_to_cart'
            else event_type
        end as event_name,
        '1.0' as schema_version,
        event_time as occurred_at,
        -- The log has no arrival times: what happened is taken as known at once.
        event_time as received_at,
        'rees46' as source,
        visitor_id,
        user_session as source_session_id,
        product_id as item_id,
        category_code as item_category,
        brand as item_brand,
        price_cents,
        -- Prices carry no currency; the publisher's documentation names none.
        'XXX' as currency,
        1 as quantity,
        case when event_type = 'purchase' then price_cents end as revenue_cents,
        source_file,
        source_row,
        landing_id,
    from landed

),

conformed as (

    select
        {% for name, type in event_columns().items() -%}
        {%- if name in [
            'event_id', 'event_name', 'schema_version', 'occurred_at', 'received_at',
            'source', 'visitor_id', 'source_session_id', 'item_id', 'item_category',
            'item_brand', 'price_cents', 'currency', 'quantity', 'revenue_cents',
        ] -%}
        cast({{ name }} as {{ type }}) as {{ name }},
        {% else -%}
        cast(null as {{ type }}) as {{ name }},
        {% endif -%}
        {%- endfor %}
        source_file,
        source_row,
        landing_id,
        'rees46' as source_format,
    from mapped

),

final as (

    select *
    from conformed
    where {{ is_not_suppressed('conformed') }}

)

select * from final

{#- Google takes no event that is uploaded later than three days after its day. -#}
{%- set longest_upload_days = 4 -%}

with

landed as (

    select
        *,
        event_server_timestamp_offset < 0
        or to_microseconds(event_server_timestamp_offset)
        > interval '{{ longest_upload_days }} days' as is_clock_wrong,
        {{ ga4_items('items') }} as item_lines,
        coalesce(nullif(firebase_screen, '(not set)'), firebase_screen_class) as screen,
        upper(currency) as currency_code,
    from {{ landed_source('ga4_events') }}

),

-- The offset is how long the upload took, unless no upload takes as long, or it came
-- before the event: then the device's clock is off by it.
timed as (

    select
        *,
        date_trunc('millisecond', case
            when is_clock_wrong
                then event_at + to_microseconds(event_server_timestamp_offset)
            else event_at
        end) as occurred_at,
        date_trunc('millisecond', event_at + to_microseconds(
            coalesce(event_server_timestamp_offset, 0)
        )) as uploaded_at,
        case
            when is_clock_wrong then -event_server_timestamp_offset / 1000000.0
        end as clock_skew_seconds,
    from landed

),

named as (

    select
        *,
        case {{ snake_name('event_name') }}
            when 'screen_view' then 'page_view'
            when 'view_search_results' then 'search'
            when 'ecommerce_purchase' then 'purchase'
            else {{ snake_name('event_name') }}
        end as own_name,
        case
            when regexp_full_match(currency_code, '[A-Z]{3}') then currency_code
        end as stated_currency,
    from timed

),

-- Older apps state the one item of an event beside it and not as a line.
with_only_item as (

    select
        *,
        case
            when
                len(item_lines) = 1
                and own_name in (
                    'view_item',
                    'select_item',
                    'add_to_cart',
                    'remove_from_cart',
                    'add_to_wishlist'
                )
                then item_lines[1]
            when len(item_lines) > 0 then null
            when item_id is not null
                then struct_pack(
                    item_id := item_id,
                    item_category := item_category,
                    item_brand := cast(null as varchar),
                    price_cents := price_cents,
                    quantity := quantity
                )
        end as only_item,
    from named

),

mapped as (

    select
        event_id,
        case
            -- A shop's own event by a name that asks for more in the contract.
            when
                own_name in ('alias', 'consent', 'decision', 'exposure', 'response')
                or (own_name = 'identify' and user_id is null)
                then 'custom_' || own_name
            else coalesce(own_name, 'custom_event')
        end as event_name,
        '1.2' as schema_version,
        occurred_at,
        greatest(uploaded_at, occurred_at) as received_at,
        'ga4' as source,
        -- Without storage every event is its own visitor, and has no account.
        coalesce(visitor_id, 'v_' || left(md5(event_id), 22)) as visitor_id,
        case when visitor_id is not null then user_id end as user_id,
        md5(visitor_id || ':' || ga_session_id) as source_session_id,
        coalesce(page_path, '/' || {{ snake_name('screen') }}) as page_path,
        coalesce(page_title, screen) as page_title,
        {{ snake_name('content_group') }} as page_type,
        case
            when {{ is_referred('referrer_host', 'page_host') }} then referrer_host
        end as referrer_host,
        coalesce(
            utm_source, page_utm_source, case when is_ad_click then 'google' end
        ) as utm_source,
        coalesce(
            utm_medium, page_utm_medium, case when is_ad_click then 'cpc' end
        ) as utm_medium,
        coalesce(utm_campaign, page_utm_campaign) as utm_campaign,
        coalesce(utm_term, page_utm_term) as utm_term,
        coalesce(utm_content, page_utm_content) as utm_content,
        only_item.item_id,
        only_item.item_category,
        only_item.item_brand,
        only_item.price_cents,
        only_item.quantity,
        case
            when only_item is null and len(item_lines) > 0 then to_json(item_lines)
        end as items,
        transaction_id as order_id,
        -- Without a currency Google counts no revenue, unless it converted it before.
        case
            when own_name <> 'purchase' then null
            when stated_currency is null then purchase_revenue_in_usd_cents
            else coalesce(
                purchase_revenue_cents, case when value_cents >= 0 then value_cents end
            )
        end as revenue_cents,
        case
            when
                own_name = 'purchase'
                and stated_currency is null
                and purchase_revenue_in_usd_cents is not null
                then 'USD'
            else stated_currency
        end as currency,
        link_host,
        link_path,
        link_id as element_id,
        {{ snake_name('content_type') }} as content_type,
        content_id,
        search_term,
        engagement_time_msec / 1000.0 as engaged_seconds,
        percent_scrolled / 100.0 as scroll_rate,
        case
            when device_category in ('desktop', 'mobile', 'tablet', 'tv')
                then device_category
            when device_category = 'smart tv' then 'tv'
            when device_category is not null then 'other'
        end as device_class,
        clock_skew_seconds,
        case
            when analytics_storage = 'No' or uses_transient_token = 'Yes' then false
            when analytics_storage = 'Yes' then true
        end as consent_analytics,
        case ads_storage
            when 'No' then false
            when 'Yes' then true
        end as consent_marketing,
        nullif(json_merge_patch('{}', to_json(struct_pack(
            file_extension := file_extension,
            item_list_id := item_list_id,
            item_list_name := item_list_name,
            method := method,
            payment_type := payment_type,
            shipping_tier := shipping_tier,
            value := case when own_name <> 'purchase' then value end,
            video_percent := video_percent
        ))), '{}') as properties,
        source_file,
        source_row,
        landing_id,
    from with_only_item

),

final as (

    {{ as_events('mapped', 'ga4') }}

)

select * from final

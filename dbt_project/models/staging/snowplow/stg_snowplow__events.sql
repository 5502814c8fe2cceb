{%- set key = "'[A-Za-z0-9_.:-]{1,64}'" %}
{%- set clock_lead = "interval '5 minutes'" %}

with

landed as (

    select * from {{ landed_source('snowplow_events') }}

),

timed as (

    select
        * exclude (user_id),
        case
            -- The pipeline may not have known how wrong the client's clock was.
            when derived_tstamp > collector_tstamp + {{ clock_lead }}
                then collector_tstamp
            else coalesce(derived_tstamp, true_tstamp, collector_tstamp)
        end as occurred_at,
        dvce_sent_tstamp - dvce_created_tstamp as client_delay,
        coalesce(
            user_id,
            case when not coalesce(is_guest, false) then ecommerce_user_id end
        ) as user_id,
        coalesce(event_vendor like 'com.snowplowanalytics.%', false)
        and event = 'unstruct' as is_snowplows_own,
        {{ snake_name('se_category') }} as struct_category,
        {{ snake_name('se_action') }} as struct_action,
    from landed

),

named as (

    select
        *,
        case
            when event = 'page_view' then 'page_view'
            when event = 'page_ping' then 'user_engagement'
            when event = 'transaction' then 'purchase'
            when event <> 'struct' and event <> 'unstruct' then event
            when is_snowplows_own and ecommerce_action is not null
                then case ecommerce_action
                    when 'product_view' then 'view_item'
                    when 'list_view' then 'view_item_list'
                    when 'list_click' then 'select_item'
                    when 'promo_view' then 'view_promotion'
                    when 'promo_click' then 'select_promotion'
                    when 'transaction' then 'purchase'
                    when 'trns_error' then 'transaction_error'
                    when 'checkout_step'
                        then if(checkout_step = 1, 'begin_checkout', 'checkout_step')
                    else {{ snake_name('ecommerce_action') }}
                end
            when is_snowplows_own
                then case event_name
                    when 'link_click' then 'click'
                    when 'button_click' then 'click'
                    when 'add_to_cart' then 'add_to_cart'
                    when 'remove_from_cart' then 'remove_from_cart'
                    when 'site_search' then 'search'
                    when 'screen_view' then 'page_view'
                    when 'consent_preferences' then 'consent'
                    when 'consent_granted' then 'consent'
                    when 'consent_withdrawn' then 'consent'
                end
            when
                struct_category in (
                    'ecommerce', 'e_commerce', 'ecomm', 'shop', 'product', 'products',
                    'cart', 'basket', 'checkout'
                )
                then case
                    when struct_action in ('add_to_cart', 'add_to_basket', 'add')
                        then 'add_to_cart'
                    when
                        struct_action in (
                            'remove_from_cart', 'remove_from_basket', 'remove'
                        )
                        then 'remove_from_cart'
                    when struct_action in ('view_item', 'product_view', 'view')
                        then 'view_item'
                    when struct_action in ('view_cart', 'view_basket')
                        then 'view_cart'
                    when struct_action in ('begin_checkout', 'checkout', 'start')
                        then 'begin_checkout'
                end
            when struct_action in ('search', 'site_search') then 'search'
        end as known_name,
        case event
            when 'struct'
                then {{ snake_name("concat_ws('_', se_category, se_action)") }}
            else {{ snake_name('event_name') }}
        end as own_name,
    from timed

),

-- A name of the shop's own that needs more in the contract, or means something else
-- there, stays the shop's own.
renamed as (

    select
        *,
        coalesce(
            known_name,
            case
                when
                    own_name in ('exposure', 'decision', 'response', 'alias', 'consent')
                    or (own_name = 'identify' and user_id is null)
                    or (
                        event = 'struct'
                        and own_name in ('page_view', 'user_engagement', 'purchase')
                    )
                    then 'custom_' || own_name
                else own_name
            end,
            'custom_event'
        ) as contract_name,
    from named

),

with_item_lines as (

    select
        *,
        list_filter(
            list_transform(
                from_json(
                    products,
                    '[{"id": "VARCHAR", "category": "VARCHAR", "brand": "VARCHAR", '
                    || '"price": "DECIMAL(18, 4)", "quantity": "BIGINT", '
                    || '"currency": "VARCHAR"}]'
                ),
                lambda product: struct_pack(
                    item_id := case
                        when regexp_full_match(product.id, {{ key }}) then product.id
                        when product.id <> '***' then md5(product.id)
                    end,
                    item_category := left(product.category, 256),
                    item_brand := left(product.brand, 256),
                    price_cents := cast(round(product.price * 100) as bigint),
                    quantity := case
                        when product.quantity between 1 and 10000
                            then product.quantity
                    end,
                    currency := upper(product.currency)
                )
            ),
            lambda line: line.item_id is not null
        )[:200] as item_lines,
    from renamed

),

-- Events about one item have its facts as their own.
with_item as (

    select
        *,
        case
            when
                len(item_lines) = 1
                and contract_name in (
                    'view_item', 'select_item', 'add_to_cart', 'remove_from_cart'
                )
                then item_lines[1]
            when cart_sku is not null or ti_sku is not null
                then struct_pack(
                    item_id := coalesce(cart_sku, ti_sku),
                    item_category := coalesce(cart_category, ti_category),
                    item_brand := null,
                    price_cents := coalesce(cart_price_cents, ti_price_cents),
                    quantity := nullif(coalesce(cart_quantity, ti_quantity), 0),
                    currency := upper(coalesce(cart_currency, ti_currency))
                )
            when
                event = 'struct'
                and known_name in ('view_item', 'add_to_cart', 'remove_from_cart')
                and regexp_full_match(se_label, {{ key }})
                then struct_pack(
                    item_id := se_label,
                    item_category := null,
                    item_brand := null,
                    price_cents := null,
                    quantity := null,
                    currency := null
                )
        end as item,
        upper(coalesce(transaction_currency, tr_currency, item_lines[1].currency))
            as stated_currency,
    from with_item_lines

),

mapped as (

    select
        event_id,
        contract_name as event_name,
        '1.2' as schema_version,
        occurred_at,
        case
            when year(occurred_at + client_delay) between 2000 and 2099
                then occurred_at + client_delay
        end as sent_at,
        greatest(collector_tstamp, occurred_at) as received_at,
        'snowplow' as source,
        visitor_id,
        user_id,
        contact_id,
        session_id as source_session_id,
        coalesce(web_page_id, screen_id) as page_view_id,

        coalesce(page_path, '/' || {{ snake_name('screen_name') }}) as page_path,
        coalesce(page_title, screen_name) as page_title,
        {{ snake_name('ecommerce_page_type') }} as page_type,
        case
            when
                coalesce(refr_medium, '') <> 'internal'
                and regexp_full_match(lower(refr_urlhost), '[a-z0-9.-]{1,253}')
                and {{ is_referred('lower(refr_urlhost)', 'lower(page_urlhost)') }}
                then lower(refr_urlhost)
        end as referrer_host,
        mkt_source as utm_source,
        mkt_medium as utm_medium,
        mkt_campaign as utm_campaign,
        mkt_term as utm_term,
        mkt_content as utm_content,

        item.item_id,
        item.item_category,
        item.item_brand,
        item.price_cents,
        item.quantity,
        case
            when
                regexp_full_match(
                    coalesce(stated_currency, item.currency), '[A-Z]{3}'
                )
                then coalesce(stated_currency, item.currency)
            -- No currency was said; revenue needs one, and this is ISO 4217's for none.
            when contract_name = 'purchase' then 'XXX'
        end as currency,
        case
            when item is null and len(item_lines) > 0
                then to_json(list_transform(
                    item_lines,
                    lambda line: json_merge_patch(
                        '{}', to_json(struct_pack(
                            item_id := line.item_id,
                            item_category := line.item_category,
                            item_brand := line.item_brand,
                            price_cents := line.price_cents,
                            quantity := line.quantity
                        ))
                    )
                ))
        end as items,
        coalesce(transaction_id, tr_orderid, ti_orderid) as order_id,
        case
            when contract_name = 'purchase'
                then coalesce(transaction_revenue_cents, tr_total_cents)
        end as revenue_cents,

        link_host,
        link_path,
        element_id,
        case
            when event = 'struct' and contract_name = 'search' then se_label
            else search_terms
        end as search_term,
        case
            when event = 'page_ping' and doc_height > 0 and pp_yoffset_max >= 0
                then least(1.0, (pp_yoffset_max + br_viewheight) / doc_height)
        end as scroll_rate,
        case
            when device_class in ('Desktop') then 'desktop'
            when device_class in ('Phone', 'Mobile') then 'mobile'
            when device_class in ('Tablet', 'eReader') then 'tablet'
            when device_class in ('TV', 'Set-top box') then 'tv'
            when device_class not in ('Unknown', 'Anonymized') then 'other'
            when dvce_type = 'Computer' then 'desktop'
            when dvce_type = 'Mobile' then 'mobile'
            when dvce_type = 'Tablet' then 'tablet'
            when dvce_type = 'Digital media receiver' then 'tv'
            when dvce_type not in ('Unknown') then 'other'
            when dvce_ismobile or platform = 'mob' then 'mobile'
            when platform = 'pc' then 'desktop'
            when platform = 'tv' then 'tv'
        end as device_class,
        case
            when is_spider
                then coalesce('iab_' || {{ snake_name('spider_reason') }}, 'iab_listed')
            when device_class like 'Robot%' or device_class = 'Hacker'
                then 'yauaa_robot'
        end as bot_reason,
        (epoch_ms(dvce_created_tstamp) - epoch_ms(occurred_at)) / 1000.0
            as clock_skew_seconds,

        {% for purpose, words in {
            'analytics': 'analytics|statistics|statistical|performance|measurement',
            'personalization': 'personali[sz]ation|personali[sz]ed|preferences|functional',
            'marketing': 'marketing|advertising|advertisement|ads|targeting',
        }.items() -%}
        case
            when contract_name <> 'consent' then null
            when consent_choice = 'allow_all' then true
            when consent_choice in ('deny_all', 'withdrawn', 'expired') then false
            when consent_choice = 'allow_selected'
                then coalesce(
                    regexp_matches(lower(consent_scopes), '\b({{ words }})\b'), false
                )
            when is_all_withdrawn then false
        end as consent_{{ purpose }},
        {% endfor -%}
        case
            when regexp_full_match(consent_version, '[A-Za-z0-9_.-]{1,32}')
                then consent_version
        end as consent_notice_version,

        case
            when event = 'struct'
                then json_merge_patch('{}', to_json(struct_pack(
                    category := se_category,
                    action := se_action,
                    label := se_label,
                    property := se_property,
                    value := se_value
                )))
            when known_name is null then unstruct_event
            else nullif(json_merge_patch('{}', to_json(struct_pack(
                list_name := ecommerce_list,
                promotion_id := promotion_id,
                checkout_step := checkout_step,
                refund_cents := refund_cents,
                result_count := search_result_count
            ))), '{}')
        end as properties,
        source_file,
        source_row,
        landing_id,
    from with_item

),

final as (

    {{ as_events('mapped', 'snowplow') }}

)

select * from final

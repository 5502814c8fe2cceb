{#
    Landed calls of Segment or RudderStack in the columns of the event contract. Live
    calls are mapped by nearline/collector/segment.py; a test holds both equal.

    landed: relation of a raw table with the columns of _segment__sources.yml.
    source: what the events are said to come from.
#}
{% macro calls_as_events(landed, source) -%}
    {%- set event_names = {
        'products_searched': 'search',
        'product_list_viewed': 'view_item_list',
        'product_list_filtered': 'view_item_list',
        'promotion_viewed': 'view_promotion',
        'promotion_clicked': 'select_promotion',
        'product_clicked': 'select_item',
        'product_viewed': 'view_item',
        'product_added': 'add_to_cart',
        'product_removed': 'remove_from_cart',
        'cart_viewed': 'view_cart',
        'checkout_started': 'begin_checkout',
        'payment_info_entered': 'add_payment_info',
        'order_completed': 'purchase',
        'order_refunded': 'refund',
        'product_added_to_wishlist': 'add_to_wishlist',
        'product_shared': 'share',
        'experiment_viewed': 'exposure',
        'signed_up': 'sign_up',
        'signed_in': 'login',
        'segment_consent_preference_updated': 'consent',
    } -%}
    {#- Events about one item: its facts are the event's own, as features read them. -#}
    {%- set one_item_events = [
        'view_item', 'select_item', 'add_to_cart', 'remove_from_cart', 'add_to_wishlist',
    ] -%}
    {#- The lead of a clock that the contract allows; beyond, the arrival counts. -#}
    {%- set most_lead_seconds = 300 -%}
    {#- As consent managers name their categories, OneTrust's numbers among them. -#}
    {%- set consent_categories = {
        'analytics': ['analytics', 'performance', 'statistics', 'measurement', 'c0002'],
        'personalization': [
            'functional', 'preferences', 'personalization', 'personalisation', 'c0003',
        ],
        'marketing': ['advertising', 'marketing', 'targeting', 'c0004'],
    } -%}
    with named as (

        select
            *,
            {{ snake_name('event') }} as snake_event,
            case
                when type in ('page', 'screen') then 'page_view'
                when type = 'identify' and user_id is null then 'anonymous_identify'
                when type <> 'track' then type
                else case {{ snake_name('event') }}
                    {%- for theirs, ours in event_names.items() %}
                    when '{{ theirs }}' then '{{ ours }}'
                    {%- endfor %}
                    else {{ snake_name('event') }}
                end
            end as own_name,
            from_json(
                products,
                '[{"product_id": "VARCHAR", "category": "VARCHAR", "brand": "VARCHAR", '
                || '"price_cents": "BIGINT", "quantity": "BIGINT"}]'
            ) as lines,
            coalesce(event_id, content_id) as message_id,
            coalesce(received_at, timestamp) as arrived_at,
        from {{ landed }}

    ),

    with_only_line as (

        select
            *,
            case
                when
                    len(lines) = 1
                    and own_name in ('{{ one_item_events | join("', '") }}')
                    then lines[1]
            end as only_line,
            case
                when own_name <> 'purchase' then null
                when revenue_cents >= 0 then 'revenue'
                when total_cents >= 0 then 'total'
                when value_cents >= 0 then 'value'
            end as amount_name,
            timestamp > arrived_at + interval '{{ most_lead_seconds }} seconds'
            as is_after_arrival,
        from named

    )

    select
        message_id as event_id,
        case
            -- A shop's own event by a name that asks for more in the contract.
            when
                (own_name = 'alias' and (type = 'track' or previous_user_id is null))
                or (own_name in ('alias', 'identify') and user_id is null)
                or (
                    own_name = 'exposure'
                    and (experiment_id is null or variation_id is null)
                )
                then 'custom_' || own_name
            else own_name
        end as event_name,
        '1.2' as schema_version,
        case when is_after_arrival then arrived_at else timestamp end as occurred_at,
        -- The vendor takes the time of sending to be the time of arrival.
        case
            when sent_at is not null then coalesce(received_at, sent_at)
        end as sent_at,
        -- An event is once more in the table `tracks`, without its properties: of two,
        -- the earliest received counts.
        arrived_at + case
            when table_name = 'tracks' then interval '1 millisecond' else interval '0'
        end as received_at,
        '{{ source }}' as source,
        visitor_id,
        user_id,
        case when type <> 'group' then contact_id end as contact_id,
        case when type = 'alias' then previous_visitor_id end as previous_visitor_id,
        case when type = 'alias' then previous_user_id end as previous_user_id,
        -- Devices count their sessions each for itself.
        md5(visitor_id || ':' || context_session_id) as source_session_id,
        case
            when type <> 'screen' or page_name is null then page_path
            -- Screens have no address: the name is one.
            when page_name = '***' then '/redacted'
            else '/' || coalesce({{ snake_name('page_name') }}, '')
        end as page_path,
        nullif(
            case type
                when 'screen' then coalesce(page_name, page_title)
                else coalesce(page_title, page_name)
            end,
            '***'
        ) as page_title,
        {{ snake_name("nullif(page_category, '***')") }} as page_type,
        case
            when {{ is_referred('referrer_host', 'page_host') }} then referrer_host
        end as referrer_host,
        {%- for name, theirs in {
            'source': 'source',
            'medium': 'medium',
            'campaign': 'name',
            'term': 'term',
            'content': 'content',
        }.items() %}
        nullif(
            coalesce(context_campaign_{{ theirs }}, page_utm_{{ name }}), '***'
        ) as utm_{{ name }},
        {%- endfor %}
        only_line.product_id as item_id,
        only_line.category as item_category,
        only_line.brand as item_brand,
        only_line.price_cents,
        coalesce(
            currency,
            -- What the vendor takes an amount to be in that names no currency.
            case when amount_name is not null then 'USD' end
        ) as currency,
        only_line.quantity,
        case
            when only_line is null and len(lines) > 0 then to_json(list_transform(
                lines,
                lambda line: json_merge_patch('{}', to_json(struct_pack(
                    item_id := line.product_id,
                    item_category := line.category,
                    item_brand := line.brand,
                    price_cents := line.price_cents,
                    quantity := coalesce(line.quantity, 1)
                )))
            ))
        end as items,
        order_id,
        case amount_name
            when 'revenue' then revenue_cents
            when 'total' then total_cents
            when 'value' then value_cents
        end as revenue_cents,
        nullif(query, '***') as search_term,
        coalesce(
            case lower(context_device_type)
                when 'ios' then 'mobile'
                when 'android' then 'mobile'
                when 'mobile' then 'mobile'
                when 'tablet' then 'tablet'
                when 'desktop' then 'desktop'
                when 'tv' then 'tv'
            end,
            sender_device_class
        ) as device_class,
        bot_reason,
        case
            when is_after_arrival
                then epoch_ms(timestamp - arrived_at) / 1000.0
            when timestamp <> original_timestamp
                then epoch_ms(original_timestamp - timestamp) / 1000.0
        end as clock_skew_seconds,
        {%- for purpose, categories in consent_categories.items() %}
        -- Where two categories mean one purpose, both must be given.
        list_aggregate([
            {%- for category in categories %}
            cast(json_extract(consent_category_preferences, '$.{{ category }}') as boolean)
            {{- ',' if not loop.last }}
            {%- endfor %}
        ], 'bool_and') as consent_{{ purpose }},
        {%- endfor %}
        experiment_id as experiment_key,
        variation_id as variant_key,
        nullif(
            json_merge_patch(
                properties,
                case
                    when amount_name is not null
                        then json_object(amount_name, null)
                    else '{}'
                end
            ),
            '{}'
        ) as properties,
        source_file,
        source_row,
        landing_id,
    from with_only_line
{%- endmacro %}

{#- The lead of a clock that the contract allows; beyond, the arrival counts. -#}
{%- set most_lead_seconds = 300 -%}
{#- Kinds of hits that are no page view and no link. -#}
{%- set hit_names = {
    31: 'media_start', 32: 'media_update', 33: 'media_update', 40: 'survey',
    50: 'media_start', 51: 'media_close', 52: 'media_scrub', 53: 'media_keep_alive',
    54: 'media_ad_start', 55: 'media_ad_close', 56: 'media_ad_scrub',
    60: 'media_start', 61: 'media_close', 62: 'media_scrub', 63: 'media_keep_alive',
    64: 'media_ad_start', 65: 'media_ad_close', 66: 'media_ad_scrub',
    70: 'target_activity',
} -%}
{%- set shop_names = {
    'scOpen': 'open_cart',
    'scAdd': 'add_to_cart',
    'scRemove': 'remove_from_cart',
    'scView': 'view_cart',
    'scCheckout': 'begin_checkout',
} -%}
{#- Events about one item: its facts are the event's own, as features read them. -#}
{%- set one_item_events = [
    'view_item', 'select_item', 'add_to_cart', 'remove_from_cart', 'add_to_wishlist',
] -%}
{%- set own_names = adobe_event_names() -%}
{%- set named = ['campaign', 'prodView', 'purchase']
    + shop_names.keys() | list + own_names.keys() | list -%}

with

landed as (

    select
        *,
        coalesce(event_id, content_id) as hit_id,
        page_event in (10, 11, 12) as is_link,
        starts_with(link_name, 'ADBINTERNAL:') as is_lifecycle,
        coalesce(
            hit_at > collected_at + interval '{{ most_lead_seconds }} seconds', false
        ) as is_after_arrival,
        {{ adobe_items('products') }} as item_lines,
        coalesce(events, '{}') as named_events,
        nullif(
            json_merge_patch(coalesce(events, '{}'), {{ patch_without(named) }}),
            '{}'
        ) as other_events,
    from {{ landed_source('adobe_events') }}

),

-- Adobe counts a view of the products that come with no event at all.
with_products_seen as (

    select
        *,
        json_exists(named_events, '$.prodView')
        or (
            len(item_lines) > 0
            and json_merge_patch(named_events, '{"campaign": null}') = '{}'
        ) as has_products_seen,
    from landed

),

with_happenings as (

    select
        *,
        list_filter(
            [
                struct_pack(
                    adobe_name := cast(null as varchar),
                    event_name := case page_event
                        when 0 then 'page_view'
                        when 10
                            then case
                                when is_lifecycle then {{ snake_name('link_name') }}
                                else 'click'
                            end
                        when 11 then 'file_download'
                        when 12 then 'click'
                        {% for kind, name in hit_names.items() -%}
                        when {{ kind }} then '{{ name }}'
                        {% endfor -%}
                        else 'page_event_' || page_event
                    end
                ),
                case
                    when has_products_seen
                        then struct_pack(
                            adobe_name := 'prodView',
                            event_name := case
                                when len(item_lines) > 1 then 'view_item_list'
                                else 'view_item'
                            end
                        )
                end,
                case
                    when
                        json_exists(named_events, '$.purchase')
                        and not coalesce(duplicate_purchase, false)
                        then struct_pack(
                            adobe_name := 'purchase', event_name := 'purchase'
                        )
                end,
                {% for theirs, ours in dict(shop_names, **own_names).items() -%}
                case
                    when json_exists(named_events, '$.{{ theirs }}')
                        then struct_pack(
                            adobe_name := '{{ theirs }}', event_name := '{{ ours }}'
                        )
                end,
                {% endfor -%}
            ],
            lambda happening: happening is not null
        ) as happenings,
    from with_products_seen

),

-- One hit is a page view or a click, and may be a view of a product and more as well.
happened as (

    select
        * exclude (happenings),
        unnest(happenings) as happening,
    from with_happenings

),

with_only_line as (

    select
        *,
        happening.adobe_name is null as is_hit,
        case
            when
                len(item_lines) = 1
                and happening.event_name in (
                    {%- for name in one_item_events %}
                    '{{ name }}'{{ ',' if not loop.last }}
                    {%- endfor %}
                )
                then item_lines[1]
        end as only_line,
    from happened

),

mapped as (

    select
        hit_id || coalesce(':' || happening.adobe_name, '') as event_id,
        happening.event_name,
        '1.2' as schema_version,
        case when is_after_arrival then collected_at else hit_at end as occurred_at,
        greatest(
            coalesce(collected_at, hit_at),
            case when is_after_arrival then collected_at else hit_at end
        ) as received_at,
        'adobe' as source,
        visitor_id,
        user_id,
        md5(visitor_id || ':' || visit_num || ':' || visit_start_time_gmt)
            as source_session_id,
        coalesce(
            page_path, '/' || {{ snake_name("nullif(pagename, '***')") }}
        ) as page_path,
        nullif(pagename, '***') as page_title,
        coalesce(
            case when lower(page_type) = 'errorpage' then 'error_page' end,
            {{ snake_name("nullif(channel, '***')") }}
        ) as page_type,
        case
            when
                coalesce(ref_type, 0) <> 1
                and {{ is_referred('referrer_host', 'page_host') }}
                then referrer_host
        end as referrer_host,
        page_utm_source as utm_source,
        coalesce(page_utm_medium, case when paid_search then 'cpc' end) as utm_medium,
        coalesce(nullif(campaign, '***'), page_utm_campaign) as utm_campaign,
        page_utm_term as utm_term,
        page_utm_content as utm_content,
        only_line.item_id,
        only_line.item_category,
        only_line.price_cents,
        only_line.quantity,
        case
            when not is_hit and only_line is null and len(item_lines) > 0
                then to_json(list_transform(
                    item_lines,
                    lambda line: json_merge_patch('{}', to_json(line))
                ))
        end as items,
        case when happening.event_name = 'purchase' then purchase_id end as order_id,
        case
            when happening.event_name = 'purchase' and products_total_cents >= 0
                then products_total_cents
        end as revenue_cents,
        case
            when is_hit or products_total_cents is null then null
            -- Prices in the report suite's own currency come without its name; this is
            -- ISO 4217's for none.
            else coalesce(currency, 'XXX')
        end as currency,
        case when is_hit and is_link then link_host end as link_host,
        case when is_hit and is_link then link_path end as link_path,
        case
            when is_hit and is_link and not coalesce(is_lifecycle, false)
                then coalesce(
                    {{ snake_name("nullif(mobileaction, '***')") }},
                    {{ snake_name("nullif(link_name, '***')") }}
                )
        end as element_id,
        coalesce(
            sender_device_class,
            case when mobile_id > 0 then 'mobile' when mobile_id = 0 then 'desktop' end
        ) as device_class,
        bot_reason,
        case
            when is_after_arrival then epoch_ms(hit_at - collected_at) / 1000.0
        end as clock_skew_seconds,
        case
            when is_hit then other_events
            when
                starts_with(happening.adobe_name, 'event')
                and json_extract(named_events, '$.' || happening.adobe_name) <> '1'
                then json_object(
                    'value', json_extract(named_events, '$.' || happening.adobe_name)
                )
        end as properties,
        source_file,
        source_row,
        landing_id,
    from with_only_line

),

final as (

    {{ as_events('mapped', 'adobe') }}

)

select * from final

{#
    What features may know of one event, told by the event alone: columns of
    `int_events__feature_facts`, selected from a relation aliased `events` that has the
    contract's columns. `is_page_view` and `engaged_milliseconds` are given, since a source
    of heartbeats measures them over many events.
#}
{% macro feature_fact_columns(is_page_view, engaged_milliseconds) -%}
        events.event_id,
        events.event_name,
        events.source,
        events.visitor_id,
        events.user_id,
        {{ session_scope('events') }} as session_scope,
        {{ has_source_session('events') }} as has_source_session,
        events.occurred_at,
        events.received_at,
        events.page_type,
        events.content_type,
        events.item_id,
        events.item_category,
        events.item_brand,
        events.price_cents,
        events.quantity,
        events.items,
        events.order_id,
        events.device_class,
        {{ channel('events.utm_source', 'events.utm_medium', 'events.referrer_host') }}
            as channel,
        events.scroll_rate,
        cast({{ is_page_view }} as bigint) as page_view_count,
        cast(events.event_name = 'view_item' as bigint) as item_view_count,
        cast(events.event_name = 'add_to_cart' as bigint) as add_to_cart_count,
        cast(events.event_name = 'purchase' as bigint) as purchase_count,
        case
            when events.event_name = 'purchase' then coalesce(events.revenue_cents, 0)
            else 0
        end as revenue_cents,
        coalesce({{ engaged_milliseconds }}, 0) as engaged_milliseconds,
        ({{ engaged_milliseconds }}) is not null as has_stated_dwell,
{%- endmacro %}

{#
    Whether features may use an event: only what consent permits, and what visitors did: an
    import of what is known of them would count their orders a second time. A bot that gave itself
    away by behaviour is known for one only afterwards: leaving it out would rewrite values
    that were already served. For the same reason the cap on a session's length, which a
    later event may move, sets nothing aside here.
#}
{% macro is_feature_fact() -%}
    events.has_analytics_consent
    and events.has_personalization_consent
    and events.bot_reason is null
    and not {{ is_sessionless() }}
    and {{ refused_reason('events') }} is null
{%- endmacro %}

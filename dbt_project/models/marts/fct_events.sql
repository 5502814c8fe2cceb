{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='event_id',
    pre_hook="{{ delete_events_set_aside(this) }}",
    post_hook="{{ mark_generation(this) }}",
) }}

{%- set since = last_change_seq(this) if is_incremental() else 0 %}

with

sessionized as (

    select *
    from {{ ref('int_events__sessionized') }}
    {% if is_incremental() %}
    where
        change_seq > {{ since }}
        or event_id in (
            select events.event_id
            from {{ this }} as events
            where events.visitor_id in (
                select visitors.visitor_id
                from {{ ref('int_identity__visitors') }} as visitors
                where visitors.change_seq > {{ since }}
            )
        )
    {% endif %}

),

events as (

    select * from {{ ref('int_events__deduplicated') }}

),

visitors as (

    select * from {{ ref('int_identity__visitors') }}

),

final as (

    select
        events.event_id,
        events.event_name,
        cast(events.occurred_at as date) as event_date,
        events.occurred_at,
        events.received_at,
        events.source,
        events.visitor_id,
        events.user_id,
        case
            when events.user_id is not null
                then {{ person_key('user', 'events.user_id') }}
            when visitors.person_id is not null then visitors.person_id
            else {{ person_key('visitor', 'events.visitor_id') }}
        end as person_id,
        sessionized.session_id,
        sessionized.session_event_number,
        events.source_session_id,
        events.page_view_id,
        events.page_path,
        events.page_title,
        events.page_type,
        events.referrer_host,
        events.utm_source,
        events.utm_medium,
        events.utm_campaign,
        events.utm_term,
        events.utm_content,
        events.item_id,
        events.item_category,
        events.item_brand,
        events.price_cents,
        events.currency,
        events.quantity,
        events.items,
        events.order_id,
        events.revenue_cents,
        events.content_type,
        events.content_id,
        events.search_term,
        cast(round(events.engaged_seconds * 1000) as bigint) as engaged_milliseconds,
        events.scroll_rate,
        events.device_class,
        sessionized.bot_reason is not null as is_bot,
        sessionized.bot_reason,
        events.bot_reason is not null as is_declared_bot,
        events.has_analytics_consent,
        events.has_personalization_consent,
        events.has_marketing_consent,
        events.consent_basis,
        events.consent_notice_version,
        events.experiment_key,
        events.variant_key,
        events.properties,
        events.schema_version,
        {% if is_incremental() -%}
        (
            select max(change_seq)
            from {{ ref('int_events__deduplicated') }}
        ) as change_seq,
        {%- else -%}
        sessionized.change_seq,
        {%- endif %}
    from sessionized
    inner join events
        on sessionized.event_id = events.event_id
    left join visitors
        on events.visitor_id = visitors.visitor_id
    where sessionized.set_aside_reason is null

)

select * from final

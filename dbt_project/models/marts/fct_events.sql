{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='event_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('int_events__sessionized')) }}",
        "{{ delete_rows_of_changed_events(this, 'event_id') }}",
    ],
    post_hook="{{ mark_generation(this) }}",
) }}

with

events as (

    select * from {{ ref('int_events__deduplicated') }}

),

visitors as (

    select * from {{ ref('int_identity__visitors') }}

),

{% if is_incremental() %}
anonymous_before as (

    select
        visitor_id,
        person_id,
    from {{ this }}
    where user_id is null
    group by visitor_id, person_id

),

-- Somebody signed in, signed in earlier than was known, or a login was taken back.
-- Compared with what the table says: a login that is gone has no row to tell of it.
visitors_of_another_person as (

    select anonymous_before.visitor_id
    from anonymous_before
    left join visitors
        on anonymous_before.visitor_id = visitors.visitor_id
    where
        anonymous_before.person_id != coalesce(
            visitors.person_id,
            {{ person_key('visitor', 'anonymous_before.visitor_id') }}
        )

),

sessionized as (

    select *
    from {{ ref('int_events__sessionized') }}
    where
        change_seq > {{ last_change_seq(this) }}
        or event_id in (
            select event_id
            from {{ this }}
            where
                user_id is null
                and visitor_id in (select visitor_id from visitors_of_another_person)
        )

),
{% else %}
sessionized as (

    select * from {{ ref('int_events__sessionized') }}

),
{% endif %}

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
        events.link_host,
        events.link_path,
        events.element_id,
        events.content_type,
        events.content_id,
        events.search_term,
        sessionized.is_page_view,
        sessionized.is_page_ping,
        sessionized.engaged_milliseconds,
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
        events.clock_skew_seconds,
        events.pseudonym_key_id,
        {% if is_incremental() -%}
        (
            select max(change_seq)
            from {{ ref('int_events__sessionized') }}
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

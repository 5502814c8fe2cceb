{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='event_key',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('int_events__sessionized')) }}",
        "{{ delete_rows_of_changed_events(this, 'event_key', 'event_key') }}",
    ],
    post_hook=[
        "{{ mark_generation(this) }}",
        "{{ keep_persons_written(this, ref('int_identity__persons')) }}",
    ],
) }}

with

visitors as (

    select
        identifier as visitor_id,
        person_id,
    from {{ ref('int_identity__persons') }}
    where identifier_type = 'visitor'

),

users as (

    select
        identifier as user_id,
        person_id,
    from {{ ref('int_identity__persons') }}
    where identifier_type = 'user'

),

{% if is_incremental() %}
-- Somebody signed in, accounts turned out to be one person's, or a link is gone.
-- Compared with what the rows were written with: a link that is gone has no row to tell
-- of it.
identifiers_changed as (

    select
        coalesce(now.identifier_type, written.identifier_type) as identifier_type,
        coalesce(now.identifier, written.identifier) as identifier,
    from {{ ref('int_identity__persons') }} as now
    full join {{ persons_written(this) }} as written
        on
            now.identifier_type = written.identifier_type
            and now.identifier = written.identifier
    where
        -- A visitor without a row is a person of its own.
        coalesce(now.person_id, {{ person_key('visitor', 'written.identifier') }})
        != coalesce(written.person_id, {{ person_key('visitor', 'now.identifier') }})

),

visitors_changed as (

    select identifier as visitor_id
    from identifiers_changed
    where identifier_type = 'visitor'

),

users_changed as (

    select identifier as user_id
    from identifiers_changed
    where identifier_type = 'user'

),

keys_to_write as (

    select event_key
    from {{ ref('int_events__sessionized') }}
    where change_seq > {{ last_change_seq(this) }}

    union

    select event_key
    from {{ this }}
    where
        {{ is_found_by(this, 'visitor_id', 'visitors_changed') }}
        and user_id is null

    union

    select event_key
    from {{ this }}
    where {{ is_found_by(this, 'user_id', 'users_changed') }}

),

{% endif %}
events as (

    select *
    from {{ ref('int_events__deduplicated') }}
    {% if is_incremental() -%}
    where {{ is_found_by(ref('int_events__deduplicated'), 'event_key', 'keys_to_write') }}
    {%- endif %}

),

sessionized as (

    select *
    from {{ ref('int_events__sessionized') }}
    {% if is_incremental() -%}
    where {{ is_found_by(ref('int_events__sessionized'), 'event_key', 'keys_to_write') }}
    {%- endif %}

),

final as (

    select
        events.event_key,
        events.event_id,
        events.event_name,
        cast(events.occurred_at as date) as event_date,
        events.occurred_at,
        events.received_at,
        events.source,
        events.visitor_id,
        events.user_id,
        {{ person_of_event('events', 'visitors', 'users') }} as person_id,
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
        -- A person may change without an event, by an unlink: readers must see that, too.
        greatest(
            {{ last_change_seq(this) + 1 }},
            (
                select max(change_seq)
                from {{ ref('int_events__sessionized') }}
            )
        ) as change_seq,
        {%- else -%}
        sessionized.change_seq,
        {%- endif %}
    from sessionized
    inner join events
        on sessionized.event_key = events.event_key
    left join visitors
        on events.visitor_id = visitors.visitor_id
    left join users
        on events.user_id = users.user_id
    where sessionized.set_aside_reason is null

)

select * from final

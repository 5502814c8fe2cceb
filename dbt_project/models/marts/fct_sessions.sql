{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='session_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('fct_events')) }}",
        "{{ delete_rows_of_changed_events(this, 'first_event_id') }}",
    ],
    post_hook="{{ mark_generation(this) }}",
) }}

with

events_in_changed_sessions as (

    {{ in_changed_sessions(ref('fct_events'), this) }}

),

sessions as (

    select
        session_id,
        arg_min(event_id, session_event_number) as first_event_id,
        -- Signed in beats anonymous; the last account seen beats earlier ones.
        coalesce(
            arg_max(person_id, session_event_number)
            filter (where user_id is not null),
            arg_min(person_id, session_event_number)
        ) as person_id,
        arg_min(visitor_id, session_event_number) as visitor_id,
        arg_max(user_id, session_event_number) as user_id,
        arg_min(source, session_event_number) as source,
        arg_min(source_session_id, session_event_number) as source_session_id,
        min(occurred_at) as first_event_at,
        coalesce(arg_min(is_page_ping, session_event_number), false)
            as is_ping_first,
        max(occurred_at) as ended_at,
        coalesce(sum(engaged_milliseconds), 0) as engaged_milliseconds,
        count(*) as event_count,
        count(*) filter (where is_page_view) as page_view_count,
        count(*) filter (where event_name = 'view_item') as item_view_count,
        count(*) filter (where event_name = 'add_to_cart') as add_to_cart_count,
        count(*) filter (where event_name = 'purchase') as purchase_count,
        count(*) filter (where event_name = 'content_interaction')
            as content_interaction_count,
        count(*) filter (where event_name = 'search') as search_count,
        count(*) filter (where event_name in {{ string_list(var('key_events')) }})
            as key_event_count,
        coalesce(
            sum(revenue_cents) filter (where event_name = 'purchase'), 0
        ) as revenue_cents,
        max(scroll_rate) as deepest_scroll_rate,
        count(engaged_milliseconds) > 0 as has_dwell,
        arg_min(page_path, session_event_number)
        filter (where is_page_view) as landing_path,
        arg_max(page_path, session_event_number)
        filter (where is_page_view) as exit_path,
        arg_min(
            {{ channel('utm_source', 'utm_medium', 'referrer_host') }},
            session_event_number
        ) as channel,
        arg_min(device_class, session_event_number) as device_class,
        bool_or(is_bot) as is_bot,
        max(bot_reason) as bot_reason,
        bool_and(has_personalization_consent) as has_personalization_consent,
        max(change_seq) as change_seq,
    from events_in_changed_sessions
    group by session_id

),

sessions_engaged as (

    select
        *,
        engaged_milliseconds / 1000.0 as engaged_seconds,
        -- The page had been open for so long when it was pinged for the first time.
        first_event_at - case
            when is_ping_first then {{ min_visit_seconds() }} else 0
        end * interval '1 second' as started_at,
        -- Not known where a source sends neither page views nor dwell.
        case
            when page_view_count > 0 or has_dwell or key_event_count > 0
                then
                    engaged_milliseconds
                    >= {{ var('engaged_session_seconds') }} * 1000
                    or page_view_count >= {{ var('engaged_session_page_views') }}
                    or key_event_count > 0
        end as is_engaged,
    from sessions

),

final as (

    select
        session_id,
        person_id,
        visitor_id,
        user_id,
        source,
        source_session_id,
        cast(started_at as date) as session_date,
        started_at,
        ended_at,
        (epoch_ms(ended_at) - epoch_ms(started_at)) / 1000.0 as duration_seconds,
        engaged_seconds,
        cast(event_count as bigint) as event_count,
        cast(page_view_count as bigint) as page_view_count,
        cast(item_view_count as bigint) as item_view_count,
        cast(add_to_cart_count as bigint) as add_to_cart_count,
        cast(purchase_count as bigint) as purchase_count,
        cast(content_interaction_count as bigint) as content_interaction_count,
        cast(search_count as bigint) as search_count,
        cast(revenue_cents as bigint) as revenue_cents,
        deepest_scroll_rate,
        is_engaged,
        not is_engaged as is_bounce,
        {{ engagement_score(
            'engaged_seconds',
            'page_view_count',
            'deepest_scroll_rate',
            '(add_to_cart_count + purchase_count + content_interaction_count'
            ~ ' + search_count)',
        ) }} as engagement_score,
        landing_path,
        exit_path,
        channel,
        device_class,
        is_bot,
        bot_reason,
        has_personalization_consent,
        first_event_id,
        change_seq,
    from sessions_engaged

)

select * from final

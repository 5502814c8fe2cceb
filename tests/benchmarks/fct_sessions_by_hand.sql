-- fct_sessions as somebody would write it who needs no other table and no increments:
-- one query over the raw Parquet of the nearline format. `{events}` is the pattern of
-- its files. The figures of `make bench` are beside it; tests/dbt holds it equal to the
-- model on every column that both have.
with

raw_events as (

    select *
    from read_parquet('{events}', hive_partitioning = false)

),

events as (

    select
        event_id,
        event_name,
        occurred_at,
        source,
        visitor_id,
        user_id,
        page_path,
        utm_source,
        utm_medium,
        referrer_host,
        revenue_cents,
        cast(round(engaged_seconds * 1000) as bigint) as engaged_milliseconds,
        scroll_rate,
        device_class,
        bot_reason,
        coalesce(consent_personalization, false) as has_personalization_consent,
        consent_analytics,
    from raw_events
    qualify row_number() over (partition by event_id order by received_at) = 1

),

consented as (

    select *
    from events
    -- A CRM's snapshots are of no visit.
    where
        consent_analytics
        and source != 'crm'

),

-- Whoever signed in first on a device is the person behind its anonymous events.
device_owners as (

    select
        visitor_id,
        arg_min(user_id, (occurred_at, event_id)) as owner_id,
    from consented
    where user_id is not null
    group by visitor_id

),

events_marked as (

    select
        *,
        coalesce(
            lag(occurred_at) over visit < occurred_at - interval '30 minutes',
            true
        ) as is_session_start,
    from consented
    window visit as (partition by visitor_id order by occurred_at, event_id)

),

events_numbered as (

    select
        *,
        sum(cast(is_session_start as integer)) over (
            partition by visitor_id
            order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as session_number,
    from events_marked

),

events_capped as (

    select
        *,
        occurred_at <= min(occurred_at) over session + interval '3 days' as is_kept,
    from events_numbered
    window session as (partition by visitor_id, session_number)

),

sessions as (

    select
        visitor_id,
        arg_min(event_id, (occurred_at, event_id)) as first_event_id,
        arg_max(user_id, (occurred_at, event_id)) filter (where is_kept) as user_id,
        arg_min(source, (occurred_at, event_id)) as source,
        min(occurred_at) as started_at,
        max(occurred_at) filter (where is_kept) as ended_at,
        coalesce(sum(engaged_milliseconds) filter (where is_kept), 0)
            as engaged_milliseconds,
        count(engaged_milliseconds) filter (where is_kept) > 0 as has_dwell,
        count(*) filter (where is_kept) as event_count,
        count(*) filter (where event_name = 'page_view') as all_page_view_count,
        count(*) filter (where is_kept and event_name = 'page_view') as page_view_count,
        count(*) filter (where is_kept and event_name = 'view_item') as item_view_count,
        count(*) filter (where is_kept and event_name = 'add_to_cart')
            as add_to_cart_count,
        count(*) filter (where is_kept and event_name = 'purchase') as purchase_count,
        count(*) filter (where is_kept and event_name = 'content_interaction')
            as content_interaction_count,
        count(*) filter (where is_kept and event_name = 'search') as search_count,
        coalesce(
            sum(revenue_cents) filter (where is_kept and event_name = 'purchase'), 0
        ) as revenue_cents,
        max(scroll_rate) filter (where is_kept) as deepest_scroll_rate,
        arg_min(page_path, (occurred_at, event_id))
            filter (where is_kept and event_name = 'page_view') as landing_path,
        arg_max(page_path, (occurred_at, event_id))
            filter (where is_kept and event_name = 'page_view') as exit_path,
        first({
            'utm_source': lower(utm_source),
            'utm_medium': lower(utm_medium),
            'referrer_host': referrer_host
        } order by occurred_at, event_id) as landing,
        arg_min(device_class, (occurred_at, event_id)) filter (where is_kept)
            as device_class,
        max(bot_reason) as declared_bot_reason,
        greatest(epoch_ms(max(occurred_at)) - epoch_ms(min(occurred_at)), 1)
            / 3600000.0 as all_hours,
        bool_and(has_personalization_consent) filter (where is_kept)
            as has_personalization_consent,
    from events_capped
    group by visitor_id, session_number

),

sessions_judged as (

    select
        *,
        landing.utm_source as utm_source,
        landing.utm_medium as utm_medium,
        landing.referrer_host as referrer_host,
        coalesce(
            declared_bot_reason,
            case
                when
                    all_page_view_count >= 40
                    and all_page_view_count > 300 * all_hours
                    then 'machine_fast'
            end
        ) as bot_reason,
        case
            when page_view_count > 0 or has_dwell or purchase_count > 0
                then
                    engaged_milliseconds >= 10000
                    or page_view_count >= 2
                    or purchase_count > 0
        end as is_engaged,
        add_to_cart_count + purchase_count + content_interaction_count + search_count
            as interaction_count,
    from sessions

)

select
    md5(sessions.visitor_id || '|' || first_event_id) as session_id,
    'p_' || md5(
        case
            when user_id is not null then 'user|' || user_id
            when owner_id is not null then 'user|' || owner_id
            else 'visitor|' || sessions.visitor_id
        end
    ) as person_id,
    sessions.visitor_id,
    user_id,
    source,
    cast(started_at as date) as session_date,
    started_at,
    ended_at,
    (epoch_ms(ended_at) - epoch_ms(started_at)) / 1000.0 as duration_seconds,
    engaged_milliseconds / 1000.0 as engaged_seconds,
    event_count,
    page_view_count,
    item_view_count,
    add_to_cart_count,
    purchase_count,
    content_interaction_count,
    search_count,
    cast(revenue_cents as bigint) as revenue_cents,
    deepest_scroll_rate,
    is_engaged,
    not is_engaged as is_bounce,
    100 * (
        0.4 * least(1.0, engaged_milliseconds / 1000.0 / 180)
        + 0.3 * least(1.0, page_view_count / 8)
        + 0.15 * coalesce(deepest_scroll_rate, 0.0)
        + 0.15 * least(1.0, interaction_count / 4)
    ) as engagement_score,
    landing_path,
    exit_path,
    case
        when utm_medium in ('email', 'e-mail', 'newsletter') then 'email'
        when utm_medium in ('affiliate', 'affiliates') then 'affiliates'
        when utm_medium in ('cpc', 'ppc', 'paid', 'paid_search', 'paidsearch')
            then case
                when
                    regexp_matches(
                        utm_source,
                        '(^|[.])(facebook|instagram|tiktok|pinterest|linkedin|reddit'
                        '|youtube)([.]|$)'
                    )
                    then 'paid_social'
                else 'paid_search'
            end
        when utm_medium in ('paid_social', 'paidsocial') then 'paid_social'
        when utm_medium in ('display', 'banner', 'cpm') then 'display'
        when utm_medium in ('social', 'social-network', 'sm') then 'organic_social'
        when utm_medium = 'organic' then 'organic_search'
        when utm_medium is not null or utm_source is not null then 'other'
        when referrer_host is null then 'direct'
        when
            regexp_matches(
                referrer_host, '(^|[.])(google|bing|duckduckgo|yahoo|ecosia)[.]'
            )
            then 'organic_search'
        when
            regexp_matches(
                referrer_host,
                '(^|[.])(facebook|instagram|tiktok|pinterest|linkedin|reddit'
                '|youtube)([.]|$)'
            )
            then 'organic_social'
        else 'referral'
    end as channel,
    device_class,
    bot_reason is not null as is_bot,
    bot_reason,
    has_personalization_consent,
    first_event_id,
from sessions_judged as sessions
left join device_owners
    on sessions.visitor_id = device_owners.visitor_id

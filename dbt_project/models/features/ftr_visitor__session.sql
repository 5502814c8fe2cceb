{%- set gap_milliseconds = var('session_gap_minutes') * 60000 %}
{%- set sums = [
    'event_count',
    'page_view_count',
    'item_view_count',
    'add_to_cart_count',
    'interaction_count',
    'key_event_count',
    'stated_dwell_count',
    'engaged_milliseconds',
] %}

with

{{ moments_in_runs() }},

runs as (

    select
        visitor_id,
        session_scope,
        run_started_at,
    from moments_in_runs
    where occurred_at = run_started_at

),

facts as (

    select
        facts.visitor_id,
        facts.session_scope,
        runs.run_started_at,
        facts.event_id,
        facts.occurred_at,
        facts.received_at,
        facts.channel,
        facts.device_class,
        facts.scroll_rate,
        1 as event_count,
        facts.page_view_count,
        facts.item_view_count,
        facts.add_to_cart_count,
        cast(
            facts.event_name in (
                'add_to_cart', 'purchase', 'content_interaction', 'search'
            ) as bigint
        ) as interaction_count,
        cast(facts.event_name in {{ string_list(var('key_events')) }} as bigint)
            as key_event_count,
        cast(facts.has_stated_dwell as bigint) as stated_dwell_count,
        facts.engaged_milliseconds,
    from {{ ref('int_events__feature_facts') }} as facts
    asof inner join runs
        on
            facts.visitor_id = runs.visitor_id
            and facts.session_scope = runs.session_scope
            and facts.occurred_at >= runs.run_started_at

),

clock as (

    select * from {{ ref('int_features__clock') }}

),

-- A fact that begins a session as long as what joins it to the run before is not known.
-- What is within the gap of the run's start is never parted from it. Nothing cuts a
-- source's own session.
starts_parted as (

    select
        visitor_id,
        session_scope,
        run_started_at,
        occurred_at,
        received_at as known_at,
        preceded_at as known_until,
    from moments_in_runs
    where
        not has_source_session
        and received_at < preceded_at
        and occurred_at > run_started_at + {{ session_gap() }}

),

facts_from_starts as (

    select
        *,
        run_started_at as start_at,
        cast(null as timestamp) as start_known_at,
        cast(null as timestamp) as start_known_until,
    from facts

    union all

    select
        facts.*,
        starts_parted.occurred_at as start_at,
        starts_parted.known_at as start_known_at,
        starts_parted.known_until as start_known_until,
    from starts_parted
    inner join facts
        on
            starts_parted.visitor_id = facts.visitor_id
            and starts_parted.session_scope = facts.session_scope
            and starts_parted.run_started_at = facts.run_started_at
            and starts_parted.occurred_at <= facts.occurred_at

),

changes_summed as (

    select
        facts_from_starts.visitor_id,
        facts_from_starts.session_scope,
        facts_from_starts.run_started_at,
        facts_from_starts.start_at,
        greatest(facts_from_starts.received_at, clock.known_from) as summed_at,
        any_value(facts_from_starts.start_known_at) as start_known_at,
        any_value(facts_from_starts.start_known_until) as start_known_until,
        min({
            'at': facts_from_starts.occurred_at,
            'id': facts_from_starts.event_id,
            'channel': facts_from_starts.channel
        }) as first_event,
        min({
            'at': facts_from_starts.occurred_at,
            'id': facts_from_starts.event_id,
            'device_class': facts_from_starts.device_class
        })
        filter (where facts_from_starts.device_class is not null) as first_with_device,
        max(facts_from_starts.scroll_rate) as scroll_rate,
        {%- for measure in sums %}
        sum(facts_from_starts.{{ measure }}) as {{ measure }},
        {%- endfor %}
    from facts_from_starts
    cross join clock
    where facts_from_starts.received_at <= clock.known_up_to
    group by
        facts_from_starts.visitor_id,
        facts_from_starts.session_scope,
        facts_from_starts.run_started_at,
        facts_from_starts.start_at,
        summed_at

),

sessions_from_starts as (

    select
        visitor_id,
        session_scope,
        run_started_at,
        start_at,
        start_known_at,
        start_known_until,
        summed_at,
        min(first_event) over so_far as first_event,
        (min(first_with_device) over so_far).device_class as device_class,
        max(scroll_rate) over so_far as scroll_rate,
        sum(event_count) over so_far as event_count,
        sum(page_view_count) over so_far as page_view_count,
        sum(item_view_count) over so_far as item_view_count,
        sum(add_to_cart_count) over so_far as add_to_cart_count,
        sum(interaction_count) over so_far as interaction_count,
        sum(key_event_count) over so_far as key_event_count,
        sum(stated_dwell_count) over so_far as stated_dwell_count,
        sum(engaged_milliseconds) over so_far as engaged_milliseconds,
    from changes_summed
    window so_far as (
        partition by visitor_id, session_scope, run_started_at, start_at
        order by summed_at
        rows between unbounded preceding and current row
    )

),

-- At most one row a moment: the session from the latest start known then. A moment at
-- which something arrives for what is before that start has none.
sessions_known as (

    select * exclude (start_at, start_known_at, start_known_until)
    from sessions_from_starts
    where
        coalesce(start_known_at <= summed_at, true)
        and coalesce(summed_at < start_known_until, true)
        and not exists (
            select 1
            from starts_parted as later
            where
                later.visitor_id = sessions_from_starts.visitor_id
                and later.session_scope = sessions_from_starts.session_scope
                and later.run_started_at = sessions_from_starts.run_started_at
                and later.occurred_at > sessions_from_starts.start_at
                and later.known_at <= sessions_from_starts.summed_at
                and later.known_until > sessions_from_starts.summed_at
        )

),

arrivals as (

    select
        facts.visitor_id,
        greatest(facts.received_at, clock.known_from) as summed_at,
        max(facts.received_at) as changed_at,
        max({
            'at': facts.occurred_at,
            'id': facts.event_id,
            'session_scope': facts.session_scope,
            'run_started_at': facts.run_started_at
        }) as latest_event,
    from facts
    cross join clock
    where facts.received_at <= clock.known_up_to
    group by facts.visitor_id, summed_at

),

arrivals_in_order as (

    select
        visitor_id,
        summed_at,
        changed_at,
        lead(changed_at) over in_order as next_changed_at,
        max(latest_event) over in_order as latest_event,
    from arrivals
    window in_order as (
        partition by visitor_id
        order by summed_at
        rows between unbounded preceding and current row
    )

),

arrivals_with_latest as (

    select
        * exclude (latest_event),
        latest_event.session_scope,
        latest_event.run_started_at,
        latest_event.at as last_event_at,
        epoch_ms(
            epoch_ms(latest_event.at) + {{ gap_milliseconds + 1 }}
        ) as over_at,
    from arrivals_in_order

),

-- What arrives for an earlier session leaves the latest one as it was.
arrivals_with_session as (

    select
        arrivals_with_latest.*,
        (sessions_known.first_event).at as started_at,
        (sessions_known.first_event).channel as channel,
        sessions_known.device_class,
        sessions_known.scroll_rate,
        {%- for measure in sums %}
        sessions_known.{{ measure }},
        {%- endfor %}
    from arrivals_with_latest
    asof inner join sessions_known
        on
            arrivals_with_latest.visitor_id = sessions_known.visitor_id
            and arrivals_with_latest.session_scope = sessions_known.session_scope
            and arrivals_with_latest.run_started_at = sessions_known.run_started_at
            and arrivals_with_latest.summed_at >= sessions_known.summed_at

),

moments as (

    select
        *,
        changed_at as event_timestamp,
        changed_at < over_at as is_active,
    from arrivals_with_session

    union all

    select
        arrivals_with_session.*,
        arrivals_with_session.over_at as event_timestamp,
        false as is_active,
    from arrivals_with_session
    cross join clock
    where
        arrivals_with_session.over_at > arrivals_with_session.changed_at
        and arrivals_with_session.over_at <= clock.known_up_to
        and coalesce(
            arrivals_with_session.over_at < arrivals_with_session.next_changed_at, true
        )

),

final as (

    select
        visitor_id,
        event_timestamp,
        changed_at as created_timestamp,
        is_active as is_session_active,
        case when is_active then started_at end as session_started_at,
        case when is_active then last_event_at end as session_last_event_at,
        {% for measure in [
            'event_count', 'page_view_count', 'item_view_count', 'add_to_cart_count'
        ] -%}
        cast(case when is_active then {{ measure }} else 0 end as bigint)
            as session_{{ measure }},
        {% endfor -%}
        case when is_active then engaged_milliseconds else 0 end / 1000.0
            as session_engaged_seconds,
        case when is_active then scroll_rate end as session_deepest_scroll_rate,
        case when is_active then channel end as session_channel,
        case when is_active then device_class end as session_device_class,
        -- Not known while nothing but other events came, as in fct_sessions.
        case
            when
                is_active
                and (
                    page_view_count > 0
                    or stated_dwell_count > 0
                    or key_event_count > 0
                )
                then not (
                    engaged_milliseconds >= {{ var('engaged_session_seconds') }} * 1000
                    or page_view_count >= {{ var('engaged_session_page_views') }}
                    or key_event_count > 0
                )
        end as is_session_bounce,
        case
            when is_active
                then {{ engagement_score(
                    '(engaged_milliseconds / 1000.0)',
                    'page_view_count',
                    'scroll_rate',
                    'interaction_count',
                ) }}
            else 0.0
        end as session_engagement_score,
    from moments

)

select * from final

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

facts as (

    select
        visitor_id,
        session_scope,
        has_source_session,
        event_id,
        occurred_at,
        received_at,
        channel,
        device_class,
        scroll_rate,
        1 as event_count,
        page_view_count,
        item_view_count,
        add_to_cart_count,
        cast(
            event_name in (
                'add_to_cart', 'purchase', 'content_interaction', 'search'
            ) as bigint
        ) as interaction_count,
        cast(event_name in {{ string_list(var('key_events')) }} as bigint)
            as key_event_count,
        cast(has_stated_dwell as bigint) as stated_dwell_count,
        engaged_milliseconds,
    from {{ ref('int_events__feature_facts') }}

),

clock as (

    select * from {{ ref('int_features__clock') }}

),

{{ facts_in_runs('facts') }},

-- A fact that begins a session as long as what joins it to the run before is not known.
-- What is within the gap of the run's start is never parted from it. Nothing cuts a
-- source's own session.
starts_parted as (

    select
        visitor_id,
        session_scope,
        run_started_at,
        occurred_at,
        min(received_at) as known_at,
        preceded_at as known_until,
    from facts_in_runs
    where
        not has_source_session
        and received_at < preceded_at
        and occurred_at > run_started_at + {{ session_gap() }}
    group by visitor_id, session_scope, run_started_at, occurred_at, preceded_at

),

facts_from_starts as (

    select
        *,
        run_started_at as start_at,
        cast(null as timestamp) as start_known_at,
        cast(null as timestamp) as start_known_until,
    from facts_in_runs

    union all

    select
        facts_in_runs.*,
        starts_parted.occurred_at as start_at,
        starts_parted.known_at as start_known_at,
        starts_parted.known_until as start_known_until,
    from starts_parted
    inner join facts_in_runs
        on
            starts_parted.visitor_id = facts_in_runs.visitor_id
            and starts_parted.session_scope = facts_in_runs.session_scope
            and starts_parted.run_started_at = facts_in_runs.run_started_at
            and starts_parted.occurred_at <= facts_in_runs.occurred_at

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
        min(facts_from_starts.occurred_at) as started_at,
        min(facts_from_starts.event_number) as first_number,
        arg_min(facts_from_starts.channel, facts_from_starts.event_number)
            as channel,
        min(facts_from_starts.event_number)
        filter (where facts_from_starts.device_class is not null) as device_number,
        arg_min(facts_from_starts.device_class, facts_from_starts.event_number)
            as device_class,
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
        min(started_at) over so_far as started_at,
        arg_min(channel, first_number) over so_far as channel,
        arg_min(device_class, device_number) over so_far as device_class,
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
        facts_in_runs.visitor_id,
        greatest(facts_in_runs.received_at, clock.known_from) as summed_at,
        max(facts_in_runs.received_at) as changed_at,
        max(facts_in_runs.event_number) as latest_number,
    from facts_in_runs
    cross join clock
    where facts_in_runs.received_at <= clock.known_up_to
    group by facts_in_runs.visitor_id, summed_at

),

arrivals_in_order as (

    select
        visitor_id,
        summed_at,
        changed_at,
        lead(changed_at) over in_order as next_changed_at,
        max(latest_number) over in_order as latest_number,
    from arrivals
    window in_order as (
        partition by visitor_id
        order by summed_at
        rows between unbounded preceding and current row
    )

),

arrivals_with_latest as (

    select
        arrivals_in_order.*,
        latest.session_scope,
        latest.run_started_at,
        latest.occurred_at as last_event_at,
        epoch_ms(
            epoch_ms(latest.occurred_at) + {{ gap_milliseconds + 1 }}
        ) as over_at,
    from arrivals_in_order
    inner join facts_in_runs as latest
        on
            arrivals_in_order.visitor_id = latest.visitor_id
            and arrivals_in_order.latest_number = latest.event_number

),

-- What arrives for an earlier session leaves the latest one as it was.
arrivals_with_session as (

    select
        arrivals_with_latest.*,
        sessions_known.started_at,
        sessions_known.channel,
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

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

{{ session_starts('facts') }},

-- Nothing cuts a source's own session: all that is known of it is one session.
starts as (

    select
        visitor_id,
        session_scope,
        run_number,
        occurred_at,
        known_at,
        known_until,
    from session_starts
    where not has_source_session

    union all

    select
        visitor_id,
        session_scope,
        run_number,
        min(occurred_at) as occurred_at,
        min(known_at) as known_at,
        cast(null as timestamp) as known_until,
    from session_starts
    where has_source_session
    group by visitor_id, session_scope, run_number

),

changes_summed as (

    select
        facts_in_runs.visitor_id,
        facts_in_runs.session_scope,
        facts_in_runs.run_number,
        starts.occurred_at as start_occurred_at,
        starts.known_at as start_known_at,
        starts.known_until as start_known_until,
        greatest(facts_in_runs.received_at, clock.known_from) as summed_at,
        min(struct_pack(
            occurred_at := facts_in_runs.occurred_at,
            event_id := facts_in_runs.event_id,
            channel := facts_in_runs.channel
        )) as entry,
        min(struct_pack(
            occurred_at := facts_in_runs.occurred_at,
            event_id := facts_in_runs.event_id,
            device_class := facts_in_runs.device_class
        )) filter (where facts_in_runs.device_class is not null) as device,
        max(facts_in_runs.scroll_rate) as scroll_rate,
        {% for measure in sums -%}
        sum(facts_in_runs.{{ measure }}) as {{ measure }},
        {% endfor %}
    from facts_in_runs
    inner join starts
        on
            facts_in_runs.visitor_id = starts.visitor_id
            and facts_in_runs.session_scope = starts.session_scope
            and facts_in_runs.run_number = starts.run_number
            and facts_in_runs.occurred_at >= starts.occurred_at
    cross join clock
    where facts_in_runs.received_at <= clock.known_up_to
    group by
        facts_in_runs.visitor_id,
        facts_in_runs.session_scope,
        facts_in_runs.run_number,
        starts.occurred_at,
        starts.known_at,
        starts.known_until,
        summed_at

),

sessions_from_starts as (

    select
        visitor_id,
        session_scope,
        run_number,
        start_occurred_at,
        start_known_at,
        start_known_until,
        summed_at,
        min(entry) over so_far as entry,
        min(device) over so_far as device,
        max(scroll_rate) over so_far as scroll_rate,
        {% for measure in sums -%}
        sum({{ measure }}) over so_far as {{ measure }},
        {% endfor %}
    from changes_summed
    window so_far as (
        partition by visitor_id, session_scope, run_number, start_occurred_at
        order by summed_at
        rows between unbounded preceding and current row
    )

),

-- At most one row a moment: the session from the latest start known then. A moment at
-- which something arrives for what is before that start has none.
sessions_known as (

    select
        visitor_id,
        session_scope,
        run_number,
        summed_at,
        struct_pack(
            started_at := entry.occurred_at,
            channel := entry.channel,
            device_class := device.device_class,
            scroll_rate := scroll_rate,
            {% for measure in sums -%}
            {{ measure }} := {{ measure }}{{ '' if loop.last else ',' }}
            {% endfor %}
        ) as session,
    from sessions_from_starts
    where
        start_known_at <= summed_at
        and (start_known_until is null or summed_at < start_known_until)
        and not exists (
            select 1
            from starts
            where
                starts.visitor_id = sessions_from_starts.visitor_id
                and starts.session_scope = sessions_from_starts.session_scope
                and starts.run_number = sessions_from_starts.run_number
                and starts.occurred_at > sessions_from_starts.start_occurred_at
                and starts.known_at <= sessions_from_starts.summed_at
                and (
                    starts.known_until is null
                    or sessions_from_starts.summed_at < starts.known_until
                )
        )

),

arrivals as (

    select
        facts_in_runs.visitor_id,
        greatest(facts_in_runs.received_at, clock.known_from) as summed_at,
        max(facts_in_runs.received_at) as changed_at,
        max(struct_pack(
            occurred_at := facts_in_runs.occurred_at,
            event_id := facts_in_runs.event_id,
            session_scope := facts_in_runs.session_scope,
            run_number := facts_in_runs.run_number
        )) as latest,
    from facts_in_runs
    cross join clock
    where facts_in_runs.received_at <= clock.known_up_to
    group by facts_in_runs.visitor_id, summed_at

),

arrivals_so_far as (

    select
        visitor_id,
        summed_at,
        changed_at,
        lead(changed_at) over in_order as next_changed_at,
        max(latest) over in_order as latest,
    from arrivals
    window in_order as (partition by visitor_id order by summed_at)

),

-- What arrives for an earlier session leaves the latest one as it is.
arrivals_with_session as (

    select
        arrivals_so_far.visitor_id,
        arrivals_so_far.changed_at,
        arrivals_so_far.next_changed_at,
        arrivals_so_far.latest.occurred_at as last_event_at,
        epoch_ms(
            epoch_ms(arrivals_so_far.latest.occurred_at) + {{ gap_milliseconds + 1 }}
        ) as over_at,
        last_value(sessions_known.session ignore nulls) over in_run as session,
    from arrivals_so_far
    left join sessions_known
        on
            arrivals_so_far.visitor_id = sessions_known.visitor_id
            and arrivals_so_far.latest.session_scope = sessions_known.session_scope
            and arrivals_so_far.latest.run_number = sessions_known.run_number
            and arrivals_so_far.summed_at = sessions_known.summed_at
    window in_run as (
        partition by
            arrivals_so_far.visitor_id,
            arrivals_so_far.latest.session_scope,
            arrivals_so_far.latest.run_number
        order by arrivals_so_far.summed_at
        rows between unbounded preceding and current row
    )

),

moments as (

    select
        visitor_id,
        changed_at as event_timestamp,
        changed_at as created_timestamp,
        last_event_at,
        case when changed_at < over_at then session end as session,
    from arrivals_with_session

    union all

    select
        arrivals_with_session.visitor_id,
        arrivals_with_session.over_at as event_timestamp,
        arrivals_with_session.changed_at as created_timestamp,
        arrivals_with_session.last_event_at,
        null as session,
    from arrivals_with_session
    cross join clock
    where
        arrivals_with_session.over_at > arrivals_with_session.changed_at
        and arrivals_with_session.over_at <= clock.known_up_to
        and (
            arrivals_with_session.next_changed_at is null
            or arrivals_with_session.over_at < arrivals_with_session.next_changed_at
        )

),

final as (

    select
        visitor_id,
        event_timestamp,
        created_timestamp,
        session is not null as is_session_active,
        session.started_at as session_started_at,
        case when session is not null then last_event_at end as session_last_event_at,
        {% for measure in [
            'event_count', 'page_view_count', 'item_view_count', 'add_to_cart_count'
        ] -%}
        cast(coalesce(session.{{ measure }}, 0) as bigint) as session_{{ measure }},
        {% endfor -%}
        coalesce(session.engaged_milliseconds, 0) / 1000.0 as session_engaged_seconds,
        session.scroll_rate as session_deepest_scroll_rate,
        session.channel as session_channel,
        session.device_class as session_device_class,
        -- Not known while nothing but other events came, as in fct_sessions.
        case
            when
                session.page_view_count > 0
                or session.stated_dwell_count > 0
                or session.key_event_count > 0
                then not (
                    session.engaged_milliseconds
                    >= {{ var('engaged_session_seconds') }} * 1000
                    or session.page_view_count
                    >= {{ var('engaged_session_page_views') }}
                    or session.key_event_count > 0
                )
        end as is_session_bounce,
        case
            when session is not null
                then {{ engagement_score(
                    '(session.engaged_milliseconds / 1000.0)',
                    'session.page_view_count',
                    'session.scroll_rate',
                    'session.interaction_count',
                ) }}
            else 0.0
        end as session_engagement_score,
    from moments

)

select * from final

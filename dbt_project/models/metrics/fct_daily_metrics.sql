with

sessions as (

    select *
    from {{ ref('fct_sessions') }}
    where not is_bot

),

segments as (

    select *
    from {{ ref('fct_segments') }}
    where is_primary

),

-- The segment that a person was in up to the moment at which the session began: one
-- that begins at that very moment may come from the session, and a session never
-- explains itself.
sessions_segmented as (

    select
        sessions.*,
        coalesce(segments.segment, 'none') as segment,
    from sessions
    left join segments
        on
            sessions.person_id = segments.person_id
            and sessions.started_at > segments.valid_from
            and sessions.started_at
            <= coalesce(segments.valid_to, timestamp '9999-12-31')

),

final as (

    select
        session_date as metric_date,
        channel,
        coalesce(device_class, 'unknown') as device_class,
        segment,
        count(*) as session_count,
        count(is_bounce) as measured_session_count,
        count(*) filter (where is_engaged) as engaged_session_count,
        count(*) filter (where is_bounce) as bounced_session_count,
        count(*) filter (where purchase_count > 0) as converted_session_count,
        cast(sum(page_view_count) as bigint) as page_view_count,
        cast(sum(purchase_count) as bigint) as purchase_count,
        cast(sum(revenue_cents) as bigint) as revenue_cents,
        {{ exact_sum('engaged_seconds') }} as engaged_seconds,
        {{ exact_sum('engagement_score') }} as engagement_score_sum,
        count(*) filter (where purchase_count > 0) / count(*) as conversion_rate,
        count(*) filter (where is_bounce) / nullif(count(is_bounce), 0) as bounce_rate,
        {{ exact_sum('engagement_score') }} / count(*) as engagement_score,
    from sessions_segmented
    group by all

)

select * from final

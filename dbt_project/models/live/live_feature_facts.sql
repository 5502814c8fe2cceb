with

arrivals as (

    select *
    from {{ ref('live_arrivals') }} as arrived
    where {{ is_not_suppressed('arrived') }}

),

events as (

    select
        *,
        {{ has_consent('analytics') }} as has_analytics_consent,
        {{ has_consent('personalization') }} as has_personalization_consent,
    from arrivals

),

final as (

    select
        {{ feature_fact_columns(
            "events.event_name = 'page_view'",
            'cast(round(events.engaged_seconds * 1000) as bigint)',
        ) }}
    from events
    where
        {{ is_feature_fact() }}
        -- Heartbeats are measured over many events, which is done in batch alone.
        and not coalesce(
            events.source in {{ sources_with('engagement', 'heartbeat') }}, false
        )

)

select * from final

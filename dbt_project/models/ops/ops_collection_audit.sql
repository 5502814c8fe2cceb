with

final as (

    select
        source,
        cast(occurred_at as date) as event_date,
        event_name,
        consent_basis,
        has_analytics_consent,
        has_personalization_consent,
        has_marketing_consent,
        consent_notice_version,
        count(*) as event_count,
    from {{ ref('int_events__deduplicated') }}
    group by all

)

select * from final

with

exposures as (

    select *
    from {{ ref('fct_events') }}
    where
        event_name = 'exposure'
        and not is_bot
        and session_id is not null

),

sessions as (

    select * from {{ ref('fct_sessions') }}

),

units as (

    select
        experiment_key,
        visitor_id as unit_id,
        -- Somebody seen in two variants counts where he was seen first.
        arg_min(variant_key, (occurred_at, event_id)) as variant_key,
        arg_min(person_id, (occurred_at, event_id)) as person_id,
        arg_min(session_id, (occurred_at, event_id)) as session_id,
        min(occurred_at) as exposed_at,
        count(*) as exposure_count,
        count(distinct variant_key) as variant_count,
    from exposures
    group by experiment_key, visitor_id

),

final as (

    select
        units.experiment_key,
        units.variant_key,
        units.unit_id,
        units.person_id,
        units.exposed_at,
        cast(units.exposed_at as date) as exposure_date,
        units.exposure_count,
        units.variant_count,
        sessions.device_class,
        sessions.channel,
    from units
    inner join sessions
        on units.session_id = sessions.session_id

)

select * from final

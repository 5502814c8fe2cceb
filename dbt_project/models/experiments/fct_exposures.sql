with

definitions as (

    select * from {{ experiment_definition_rows() }}

),

events as (

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

periods as (

    select * from {{ ref('int_segments__periods') }}

),

priorities as (

    select
        unnest({{ segment_rules() | map(attribute='name') | list }}) as segment,
        unnest(range({{ segment_rules() | length }})) as priority,

),

exposures as (

    select
        events.*,
        coalesce(definitions.unit_kind, 'visitor') as unit_kind,
        coalesce(definitions.contaminated, 'first_seen') as contaminated,
        case definitions.unit_kind
            when 'person' then events.person_id
            when 'session' then events.session_id
            else events.visitor_id
        end as unit_id,
    from events
    left join definitions
        on events.experiment_key = definitions.experiment_key
    -- Who comes after the end sees what was decided. What was seen before the start is
    -- kept: the analysis warns of it.
    where definitions.stops_at is null or events.occurred_at < definitions.stops_at

),

units as (

    select
        experiment_key,
        unit_id,
        any_value(unit_kind) as unit_kind,
        any_value(contaminated) as contaminated,
        -- Somebody seen in two variants counts where he was seen first.
        arg_min(variant_key, (occurred_at, event_id)) as variant_key,
        arg_min(visitor_id, (occurred_at, event_id)) as visitor_id,
        arg_min(person_id, (occurred_at, event_id)) as person_id,
        arg_min(session_id, (occurred_at, event_id)) as session_id,
        min(occurred_at) as exposed_at,
        min(received_at) as known_at,
        count(*) as exposure_count,
        count(distinct variant_key) as variant_count,
    from exposures
    group by experiment_key, unit_id

),

-- Two devices of one person may have been given two variants: what the one showed, the
-- other's owner has seen.
persons as (

    select
        experiment_key,
        person_id,
        count(distinct variant_key) as variant_count,
    from exposures
    group by experiment_key, person_id

),

units_segmented as (

    select
        units.experiment_key,
        units.unit_id,
        arg_min(periods.segment, priorities.priority) as segment,
    from units
    inner join periods
        on
            units.person_id = periods.person_id
            and units.exposed_at > periods.valid_from
            and units.exposed_at
            <= coalesce(periods.valid_to, timestamp '9999-12-31')
    inner join priorities
        on periods.segment = priorities.segment
    group by units.experiment_key, units.unit_id

),

final as (

    select
        units.experiment_key,
        units.variant_key,
        units.unit_id,
        units.unit_kind,
        units.visitor_id,
        units.person_id,
        units.exposed_at,
        cast(units.exposed_at as date) as exposure_date,
        (epoch_ms(units.known_at) - epoch_ms(units.exposed_at)) / 1000.0
            as exposure_lag_seconds,
        units.exposure_count,
        units.variant_count,
        persons.variant_count as person_variant_count,
        -- A person's visits may differ in variant by design where visits are the unit.
        units.contaminated = 'first_seen'
        or units.variant_count = 1
        and (units.unit_kind = 'session' or persons.variant_count = 1)
            as is_analysed,
        sessions.device_class,
        sessions.channel,
        units_segmented.segment,
    from units
    inner join sessions
        on units.session_id = sessions.session_id
    inner join persons
        on
            units.experiment_key = persons.experiment_key
            and units.person_id = persons.person_id
    left join units_segmented
        on
            units.experiment_key = units_segmented.experiment_key
            and units.unit_id = units_segmented.unit_id

)

select * from final

with

published as (

    select * from {{ ref('stg_published__visitor_scores') }}

),

scored as (

    select
        visitor_id,
        scored_at as event_timestamp,
        known_up_to as created_timestamp,
        probability as purchase_propensity_7d,
        model_version as purchase_propensity_7d_model_version,
    from {{ ref('stg_learned__visitor_scores') }}

),

visitors_known as (

    select
        visitor_id,
        min(received_at) as known_from,
    from {{ ref('int_events__feature_facts') }}
    group by visitor_id

),

-- What was published stands: the file of a run may be read again after it.
scores as (

    select * from published

    union all by name

    select scored.*
    from scored
    anti join published
        on
            scored.visitor_id = published.visitor_id
            and scored.event_timestamp <= published.event_timestamp

),

-- Whose consented events are gone has no features any more.
final as (

    select scores.*
    from scores
    inner join visitors_known
        on scores.visitor_id = visitors_known.visitor_id
    where scores.event_timestamp >= visitors_known.known_from

)

select * from final

with

decisions as (

    select * from {{ ref('fct_decisions') }}

),

events as (

    select * from {{ ref('fct_events') }}

),

-- Lists of a recommender; a block has its items' odds nowhere.
lists as (

    select
        *,
        try_cast({{ property_text('models', 'recommender') }} as integer)
            as recommender_version,
        -- What a place is given that is not drawn, also where every place was.
        list_max(candidate_probabilities) as most_probability,
    from decisions
    where
        block_items is null
        and {{ property_text('models', 'recommender') }} is not null

),

places as (

    select
        * exclude (chosen),
        unnest(chosen) as item_id,
        generate_subscripts(chosen, 1) as place,
    from lists

),

{{ item_lines(
    'events',
    ['event_name', 'visitor_id', 'occurred_at', 'is_bot'],
    ['view_item', 'add_to_cart', 'purchase'],
) }},

takings as (

    select
        event_name,
        visitor_id,
        occurred_at,
        line.item_id,
    from item_lines
    where not is_bot

),

takings_of_places as (

    select
        places.decision_id,
        places.place,
        bool_or(takings.event_name = 'view_item') as is_viewed,
        bool_or(takings.event_name = 'add_to_cart') as is_carted,
        bool_or(takings.event_name = 'purchase') as is_bought,
    from places
    inner join takings
        on
            places.visitor_id = takings.visitor_id
            and places.item_id = takings.item_id
            and places.decided_at < takings.occurred_at
            and places.outcome_until >= takings.occurred_at
    group by places.decision_id, places.place

),

final as (

    select
        places.decision_id || '-' || places.place as shown_item_id,
        places.decision_id,
        places.decided_at,
        places.decision_date,
        places.slot,
        places.visitor_id,
        places.person_id,
        places.recommender_version,
        cast(places.place as integer) as place,
        places.item_id,
        places.candidate_scores[
            list_position(places.candidates, places.item_id)
        ] as score,
        places.place_probabilities[places.place] as place_probability,
        places.is_explored
        and coalesce(
            places.place_probabilities[places.place] < places.most_probability, false
        ) as is_explored,
        places.exposed_at,
        coalesce(takings_of_places.is_viewed, false) as is_viewed,
        coalesce(takings_of_places.is_carted, false) as is_carted,
        coalesce(takings_of_places.is_bought, false) as is_bought,
        places.is_outcome_complete,
        places.has_personalization_consent,
        places.is_bot,
    from places
    left join takings_of_places
        on
            places.decision_id = takings_of_places.decision_id
            and places.place = takings_of_places.place

)

select * from final

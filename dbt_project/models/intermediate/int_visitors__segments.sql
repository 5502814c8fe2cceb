{%- set names = segment_rules() | map(attribute='name') | list -%}

with

segments as (

    select *
    from {{ ref('fct_segments') }}
    where is_current

),

identities as (

    select
        identifier as visitor_id,
        person_id,
    from {{ ref('bridge_identities') }}
    where identifier_type = 'visitor'

),

consents as (

    select * from {{ ref('dim_consents') }}

),

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

priorities as (

    select
        unnest({{ names }}) as segment,
        unnest(range({{ names | length }})) as priority,

),

-- Whoever said no on one device said no: the segments are of all that the person did.
persons_allowed as (

    select person_id
    from consents
    group by person_id
    having
        bool_or(has_personalization_consent)
        and not bool_or(is_stated and not has_personalization_consent)

),

visitors_seen as (

    select
        visitor_id,
        max(received_at) as last_received_at,
    from facts
    group by visitor_id

),

-- Of a person the last of its visitors, as for the features of persons.
visitors as (

    select
        identities.visitor_id,
        identities.person_id,
    from visitors_seen
    inner join identities
        on visitors_seen.visitor_id = identities.visitor_id
    inner join persons_allowed
        on identities.person_id = persons_allowed.person_id
    cross join watermark
    where
        visitors_seen.last_received_at
        > watermark.received_up_to - interval '{{ var("segments_served_days") }} days'
    qualify
        row_number() over (
            partition by identities.person_id
            order by visitors_seen.last_received_at desc, identities.visitor_id asc
        ) <= {{ var('max_visitors_per_person') }}

),

rules_of_persons as (

    select
        segments.person_id,
        max(segments.segment) filter (where segments.is_primary) as primary_segment,
        max(segments.valid_from) filter (where segments.is_primary)
            as primary_segment_since,
        list(segments.segment order by priorities.priority) as segments,
    from segments
    inner join priorities
        on segments.segment = priorities.segment
    where segments.segment_kind = 'rule'
    group by segments.person_id

),

clusters_of_persons as (

    select
        person_id,
        segment as behaviour_cluster,
        valid_from as behaviour_cluster_since,
    from segments
    where segment_kind = 'cluster'

),

final as (

    select
        visitors.visitor_id,
        rules_of_persons.primary_segment,
        rules_of_persons.primary_segment_since,
        coalesce(rules_of_persons.segments, []) as segments,
        clusters_of_persons.behaviour_cluster,
        clusters_of_persons.behaviour_cluster_since,
    from visitors
    left join rules_of_persons
        on visitors.person_id = rules_of_persons.person_id
    left join clusters_of_persons
        on visitors.person_id = clusters_of_persons.person_id

)

select * from final

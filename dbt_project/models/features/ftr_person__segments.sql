{%- set values = [
    'primary_segment',
    'primary_segment_since',
    'segments',
    'behaviour_cluster',
    'behaviour_cluster_since',
] -%}

with

visitors as (

    select * from {{ ref('int_visitors__segments') }}

),

published as (

    select * from {{ ref('stg_published__person_segments') }}

),

visitors_known as (

    select
        visitor_id,
        min(received_at) as known_from,
    from {{ ref('int_events__feature_facts') }}
    group by visitor_id

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

-- The moment of this run: how far its data reach, or next to the run before where they
-- reach no further. What was published once is never said otherwise of its moment.
run_now as (

    select
        received_up_to,
        greatest(
            received_up_to,
            (select max(event_timestamp) from published) + interval '1 microsecond'
        ) as known_at,
    from watermark

),

-- Whose consented events are gone has no features any more.
rows_before as (

    select published.*
    from published
    inner join visitors_known
        on published.visitor_id = visitors_known.visitor_id
    where published.event_timestamp >= visitors_known.known_from

),

rows_latest as (

    select *
    from rows_before
    qualify
        row_number() over (
            partition by visitor_id order by event_timestamp desc
        ) = 1

),

-- Who is not served any more is in nothing as of now, and known to be.
visitors_and_gone as (

    select * from visitors

    union all by name

    select
        visitor_id,
        [] as segments,
    from rows_latest
    where visitor_id not in (select visitor_id from visitors)

),

compared as (

    select
        visitors_and_gone.*,
        (
            len(visitors_and_gone.segments) > 0
            or visitors_and_gone.behaviour_cluster is not null
        ) as is_in_any,
        rows_latest.event_timestamp as said_at,
        (
            {% for value in values -%}
            {{ 'or ' if not loop.first -}}
            (visitors_and_gone.{{ value }} is distinct from rows_latest.{{ value }})
            {% endfor %}
        ) as is_changed,
    from visitors_and_gone
    left join rows_latest
        on visitors_and_gone.visitor_id = rows_latest.visitor_id

),

-- What does not change is said again in time, or the view's limit would take it away.
rows_now as (

    select
        compared.visitor_id,
        run_now.known_at as event_timestamp,
        run_now.received_up_to as created_timestamp,
        {% for value in values -%}
        compared.{{ value }},
        {% endfor %}
    from compared
    cross join run_now
    where
        (compared.said_at is null and compared.is_in_any)
        or (compared.said_at is not null and compared.is_changed)
        or (
            compared.is_in_any
            and compared.said_at
            <= run_now.known_at - interval '{{ var("segments_renewed_days") }} days'
        )

),

final as (

    select * from rows_before
    union all by name
    select * from rows_now

)

select * from final

{%- set names = segment_rules() | map(attribute='name') | list -%}

with

periods as (

    select * from {{ ref('int_segments__periods') }}

),

clusters as (

    select * from {{ ref('stg_learned__person_clusters') }}

),

persons as (

    select * from {{ ref('dim_persons') }}

),

priorities as (

    select
        unnest({{ names }}) as segment,
        unnest(range({{ names | length }})) as priority,

),

-- Which segment is primary changes when any of a person's segments starts or ends, so
-- periods are cut there and put together again where nothing changed.
moments as (

    select
        person_id,
        valid_from as moment,
    from periods
    union
    select
        person_id,
        valid_to as moment,
    from periods
    where valid_to is not null

),

slices as (

    select
        periods.person_id,
        periods.segment,
        periods.valid_from as period_from,
        moments.moment as valid_from,
        lead(moments.moment) over (
            partition by periods.person_id, periods.segment, periods.valid_from
            order by moments.moment
        ) as next_moment,
        periods.valid_to as period_to,
        priorities.priority,
    from periods
    inner join moments
        on
            periods.person_id = moments.person_id
            and periods.valid_from <= moments.moment
            and moments.moment < coalesce(periods.valid_to, timestamp '9999-12-31')
    inner join priorities
        on periods.segment = priorities.segment

),

slices_ranked as (

    select
        person_id,
        segment,
        period_from,
        valid_from,
        coalesce(next_moment, period_to) as valid_to,
        row_number() over (
            partition by person_id, valid_from order by priority
        ) = 1 as is_primary,
    from slices

),

slices_compared as (

    select
        *,
        coalesce(
            lag(is_primary) over period != is_primary, true
        ) as is_change,
    from slices_ranked
    window period as (
        partition by person_id, segment, period_from order by valid_from
    )

),

slices_numbered as (

    select
        *,
        sum(cast(is_change as integer)) over (
            partition by person_id, segment, period_from
            order by valid_from
            rows between unbounded preceding and current row
        ) as slice_number,
    from slices_compared

),

rule_segments as (

    select
        person_id,
        segment,
        'rule' as segment_kind,
        min(valid_from) as valid_from,
        case
            when count(valid_to) = count(*) then max(valid_to)
        end as valid_to,
        bool_or(is_primary) as is_primary,
    from slices_numbered
    group by person_id, segment, period_from, slice_number

),

watermark as (

    select {{ known_up_to() }} as received_up_to
    from {{ ref('fct_events') }}

),

cluster_changes as (

    select
        clusters.person_id,
        clusters.segment,
        clusters.known_at as valid_from,
        lead(clusters.known_at) over (
            partition by clusters.person_id order by clusters.known_at
        ) as valid_to,
    from clusters
    -- Somebody erased since the clusters were learned has no row any more.
    inner join persons
        on clusters.person_id = persons.person_id
    -- Nor does a fit count that knew more than there is now.
    where clusters.known_at <= (select received_up_to from watermark)

),

cluster_segments as (

    select
        person_id,
        segment,
        'cluster' as segment_kind,
        valid_from,
        valid_to,
        false as is_primary,
    from cluster_changes
    where segment is not null

),

-- Rules first, clusters within: whoever has a primary rule segment is in one hybrid,
-- for as long as both last.
hybrid_segments as (

    select
        rule_segments.person_id,
        rule_segments.segment || '/' || cluster_segments.segment as segment,
        'hybrid' as segment_kind,
        greatest(rule_segments.valid_from, cluster_segments.valid_from) as valid_from,
        -- An open end is null, which `least` passes over.
        least(rule_segments.valid_to, cluster_segments.valid_to) as valid_to,
        false as is_primary,
    from rule_segments
    inner join cluster_segments
        on
            rule_segments.person_id = cluster_segments.person_id
            and rule_segments.valid_from
            < coalesce(cluster_segments.valid_to, timestamp '9999-12-31')
            and cluster_segments.valid_from
            < coalesce(rule_segments.valid_to, timestamp '9999-12-31')
    where rule_segments.is_primary

),

segments as (

    select * from rule_segments
    union all by name
    select * from cluster_segments
    union all by name
    select * from hybrid_segments

),

final as (

    select
        md5(concat_ws('|', person_id, segment, valid_from)) as segment_period_id,
        person_id,
        segment,
        segment_kind,
        valid_from,
        valid_to,
        valid_to is null as is_current,
        is_primary,
    from segments

)

select * from final

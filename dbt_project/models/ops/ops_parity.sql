{%- set feature_tables = feature_relations([
    'ftr_item__activity_1h',
    'ftr_item__activity_24h',
    'ftr_item__activity_30d',
    'ftr_item__activity_7d',
    'ftr_item__trend',
    'ftr_person__activity_24h',
    'ftr_person__activity_30d',
    'ftr_person__activity_7d',
    'ftr_person__cart',
    'ftr_person__recency',
    'ftr_person__recent',
    'ftr_person__segments',
    'ftr_visitor__activity_1h',
    'ftr_visitor__activity_24h',
    'ftr_visitor__activity_30d',
    'ftr_visitor__activity_5m',
    'ftr_visitor__activity_7d',
    'ftr_visitor__cart',
    'ftr_visitor__distincts_30d',
    'ftr_visitor__distincts_7d',
    'ftr_visitor__intent',
    'ftr_visitor__latest',
    'ftr_visitor__propensity',
    'ftr_visitor__recency',
    'ftr_visitor__recent',
    'ftr_visitor__session',
]) -%}

with

served_values as (

    select *
    from {{ ref('stg_served__feature_values') }}
    where
        served_at >= timestamp '{{ var("parity_judged_from") }}'
        and {{ is_of_current_view(feature_tables.keys()) }}

),

facts as (

    select * from {{ ref('int_events__feature_facts') }}

),

-- Up to then every event that any release will ever have is in this one. Events of some
-- other partition, received a little before the newest, may still be on their way.
settled as (

    select
        max(received_at)
        - interval '{{ var("parity_settle_minutes") }} minutes' as settled_up_to,
    from facts

),

served as (

    select distinct
        served_id,
        view_table,
        entity_id,
        event_timestamp,
        known_up_to,
        known_from,
    from served_values

),

offline_values as (

    {% for model, relation in feature_tables.items() -%}
    {{ values_as_logged(model, relation, 'served') }}
    {%- if not loop.last %}
    union all
    {% endif -%}
    {%- endfor %}

),

compared as (

    select
        served_values.*,
        offline_values.row_at,
        offline_values.value_text as offline_text,
        offline_values.value_number as offline_number,
        served_values.value_text is not null
        or served_values.value_number is not null as is_served,
        offline_values.value_text is not null
        or offline_values.value_number is not null as is_offline,
        coalesce(
            served_values.value_text is not distinct from offline_values.value_text
            and (
                served_values.value_text is not null
                or (
                    served_values.value_number is null
                    and offline_values.value_number is null
                )
                or abs(served_values.value_number - offline_values.value_number)
                <= {{ var('parity_float_tolerance') }}
            ),
            false
        ) as is_equal,
    from served_values
    left join offline_values
        on
            served_values.served_id = offline_values.served_id
            and served_values.feature = offline_values.feature

),

-- Of several rows within the served second, the one that was served is the one that
-- agrees most.
rows_ranked as (

    select
        *,
        sum(case when is_equal then 0 else 1 end) over (
            partition by served_id, row_at
        ) as difference_count,
    from compared

),

rows_chosen as (

    select *
    from rows_ranked
    qualify
        row_number() over (
            partition by served_id, feature
            order by difference_count asc, row_at desc
        ) = 1

),

judged as (

    select
        cast(rows_chosen.served_at as date) as served_date,
        rows_chosen.view_name,
        rows_chosen.feature,
        case
            when
                rows_chosen.event_timestamp <= rows_chosen.known_up_to
                or rows_chosen.event_timestamp is null
                then 'batch'
            else 'live'
        end as speed,
        case
            when
                coalesce(rows_chosen.event_timestamp, rows_chosen.known_up_to)
                <= settled.settled_up_to
                then
                    case
                        when rows_chosen.is_equal then 'matched'
                        when not rows_chosen.is_offline then 'extra'
                        when not rows_chosen.is_served then 'missing'
                        else 'mismatched'
                    end
            else 'pending'
        end as outcome,
        abs(rows_chosen.value_number - rows_chosen.offline_number) as difference,
    from rows_chosen
    cross join settled

),

final as (

    select
        served_date,
        view_name,
        feature,
        speed,
        count(*) as served_count,
        count(*) filter (where outcome = 'matched') as matched_count,
        count(*) filter (where outcome = 'mismatched') as mismatched_count,
        count(*) filter (where outcome = 'missing') as missing_count,
        count(*) filter (where outcome = 'extra') as extra_count,
        count(*) filter (where outcome = 'pending') as pending_count,
        max(difference) filter (where outcome != 'pending') as max_difference,
        avg(difference) filter (where outcome != 'pending') as mean_difference,
        cast({{ var('parity_max_mismatch_share') }} as double) as max_mismatch_share,
    from judged
    group by all

)

select * from final

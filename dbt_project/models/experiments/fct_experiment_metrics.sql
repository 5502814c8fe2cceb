with

exposures as (

    select * from {{ ref('fct_exposures') }}

),

-- What was tracked in sessions: an import may know the same orders once more.
outcomes as (

    select
        event_id,
        visitor_id,
        event_name,
        occurred_at,
        revenue_cents,
        engaged_milliseconds,
    from {{ ref('fct_events') }}
    where
        not is_bot
        and session_id is not null
        and (
            event_name in ('purchase', 'add_to_cart')
            or engaged_milliseconds is not null
        )

),

-- What each unit did from its first exposure on.
units as (

    select
        exposures.experiment_key,
        exposures.variant_key,
        exposures.exposure_date,
        exposures.unit_id,
        count(*) filter (where outcomes.event_name = 'purchase') as purchase_count,
        count(*) filter (where outcomes.event_name = 'add_to_cart')
            as add_to_cart_count,
        coalesce(
            sum(outcomes.revenue_cents)
            filter (where outcomes.event_name = 'purchase'),
            0
        ) as revenue_cents,
        coalesce(sum(outcomes.engaged_milliseconds), 0) as engaged_milliseconds,
    from exposures
    left join outcomes
        on
            exposures.unit_id = outcomes.visitor_id
            and exposures.exposed_at <= outcomes.occurred_at
    group by
        exposures.experiment_key,
        exposures.variant_key,
        exposures.exposure_date,
        exposures.unit_id

),

-- In thousandths: integers add up to the same in any order, floats do not.
metric_values as (

    {% for name, kind, expression in [
        ('conversion', 'proportion', '1000 * cast(purchase_count > 0 as integer)'),
        ('add_to_cart', 'proportion', '1000 * cast(add_to_cart_count > 0 as integer)'),
        ('revenue_per_visitor', 'mean', '1000 * revenue_cents'),
        ('engaged_seconds_per_visitor', 'mean', 'engaged_milliseconds'),
    ] -%}
    select
        experiment_key,
        variant_key,
        exposure_date,
        '{{ name }}' as metric_name,
        '{{ kind }}' as metric_kind,
        cast({{ expression }} as hugeint) as value_thousandths,
    from units
    {% if not loop.last %}
    union all

    {% endif -%}
    {% endfor %}

),

final as (

    select
        experiment_key,
        variant_key,
        metric_name,
        metric_kind,
        exposure_date,
        count(*) as unit_count,
        sum(value_thousandths) / 1e3 as value_sum,
        sum(value_thousandths * value_thousandths) / 1e6 as value_sum_squares,
    from metric_values
    group by experiment_key, variant_key, metric_name, metric_kind, exposure_date

)

select * from final

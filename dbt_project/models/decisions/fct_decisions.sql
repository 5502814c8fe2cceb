{%- set window = "interval '" ~ var('decision_outcome_hours') ~ " hours'" %}
{%- set exposure_events = string_list(var('decision_exposure_events')) %}
{%- set click_events = string_list(var('decision_click_events')) %}

with

events as (

    select * from {{ ref('fct_events') }}

),

orders as (

    -- What was tracked in sessions: an import may know the same orders once more.
    select *
    from {{ ref('fct_orders') }}
    where
        not is_bot
        and session_id is not null

),

order_items as (

    select * from {{ ref('fct_order_items') }}

),

decisions as (

    select
        event_id as decision_id,
        occurred_at as decided_at,
        occurred_at + {{ window }} as outcome_until,
        event_date as decision_date,
        source,
        visitor_id,
        person_id,
        session_id,
        {{ property_text('properties', 'slot') }} as slot,
        {{ property_text('properties', 'policy') }} as policy_name,
        {{ property_text('properties', 'policy_version') }} as policy_version,
        {{ property_rows('properties', 'candidates', 1, 'varchar') }} as candidates,
        {{ property_rows('properties', 'candidates', 2, 'double') }}
            as candidate_scores,
        {{ property_rows('properties', 'candidates', 3, 'double') }}
            as candidate_probabilities,
        {{ property_list('properties', 'chosen', 'VARCHAR') }} as chosen,
        {{ property_text('properties', 'chosen[0]') }} as choice,
        {{ property_list('properties', 'items', 'VARCHAR') }} as block_items,
        {{ property_number('properties', 'probability') }} as logged_probability,
        {{ property_list('properties', 'place_probabilities', 'DOUBLE') }}
            as place_probabilities,
        coalesce({{ property_flag('properties', 'is_explored') }}, false)
            as is_explored,
        coalesce({{ property_flag('properties', 'hold_out') }}, false) as is_held_out,
        {{ property_text('properties', 'trigger') }} as trigger_name,
        {{ property_json('properties', 'arms') }} as arms,
        {{ property_json('properties', 'models') }} as models,
        {{ property_text('properties', 'segment') }} as segment,
        {{ property_text('properties', 'answer') }} as answer,
        {{ property_text('properties', 'fallback') }} as fallback,
        {{ property_number('properties', 'feature_age_seconds') }}
            as feature_age_seconds,
        {{ property_number('properties', 'latency_ms') }} as latency_milliseconds,
        has_personalization_consent,
        is_bot,
    from events
    where event_name = 'decision'

),

reports as (

    select
        event_id,
        event_name,
        person_id,
        occurred_at,
        {{ property_text('properties', 'decision_id') }} as decision_id,
        -- Beyond a billion it is a mistake, and sums would overflow.
        case
            when abs({{ property_number('properties', 'reward') }}) <= 1e9
                then {{ property_number('properties', 'reward') }}
        end as reward,
    from events
    where
        not is_bot
        and (
            event_name in {{ exposure_events }}
            or event_name in {{ click_events }}
            or event_name in ('response', 'add_to_cart', 'purchase')
        )

),

-- What names a decision came of it, however the clocks of server and browser differ; of
-- another person's, it is a page that was passed on.
reports_of_decisions as (

    select
        decisions.decision_id,
        reports.event_id,
        reports.event_name,
        reports.occurred_at,
        reports.reward,
        reports.event_name in {{ exposure_events }} as is_exposure,
        reports.event_name in {{ click_events }}
        -- A response that states no gain is no click: something was closed, say.
        and (
            reports.event_name != 'response'
            or coalesce(reports.reward, 1) > 0
        ) as is_click,
    from decisions
    inner join reports
        on
            decisions.decision_id = reports.decision_id
            and decisions.person_id = reports.person_id
            and decisions.outcome_until >= reports.occurred_at

),

responses as (

    select
        decision_id,
        min(occurred_at) filter (where is_exposure) as exposed_at,
        count(*) filter (where is_exposure) as exposure_count,
        min(occurred_at) filter (where is_click) as clicked_at,
        count(*) filter (where is_click) as click_count,
        {{ exact_sum('reward') }} as response_reward,
    from reports_of_decisions
    group by decision_id

),

items_chosen as (

    select
        decision_id,
        visitor_id,
        decided_at,
        outcome_until,
        unnest(chosen) as item_id,
    from decisions

    union

    select
        decision_id,
        visitor_id,
        decided_at,
        outcome_until,
        unnest(block_items) as item_id,
    from decisions

),

{{ item_lines(
    'events', ['event_id', 'visitor_id', 'occurred_at', 'is_bot'], ['add_to_cart']
) }},

cart_items as (

    select
        event_id,
        visitor_id,
        occurred_at,
        line.item_id,
    from item_lines
    where not is_bot

),

carts_of_items as (

    select
        items_chosen.decision_id,
        cart_items.event_id,
    from items_chosen
    inner join cart_items
        on
            items_chosen.visitor_id = cart_items.visitor_id
            and items_chosen.item_id = cart_items.item_id
            and cart_items.occurred_at between
            items_chosen.decided_at and items_chosen.outcome_until

),

carts_of_decisions as (

    select
        decision_id,
        event_id,
    from carts_of_items

    union

    select
        decision_id,
        event_id,
    from reports_of_decisions
    where event_name = 'add_to_cart'

),

carts as (

    select
        decision_id,
        count(*) as add_to_cart_count,
    from carts_of_decisions
    group by decision_id

),

lines_sold as (

    select
        orders.purchase_event_id as event_id,
        orders.visitor_id,
        orders.ordered_at,
        orders.currency,
        order_items.item_id,
        -- The only line of an order may leave its price to the order.
        case
            when
                order_items.revenue_cents is null
                and count(*) over (
                    partition by orders.source, orders.order_id
                ) = 1
                then orders.revenue_cents
            else order_items.revenue_cents
        end as revenue_cents,
    from orders
    inner join order_items
        on
            orders.source = order_items.source
            and orders.order_id = order_items.order_id

),

sales_of_items as (

    select
        items_chosen.decision_id,
        lines_sold.event_id,
        any_value(lines_sold.currency) as currency,
        sum(lines_sold.revenue_cents) as revenue_cents,
    from items_chosen
    inner join lines_sold
        on
            items_chosen.visitor_id = lines_sold.visitor_id
            and items_chosen.item_id = lines_sold.item_id
            and lines_sold.ordered_at between
            items_chosen.decided_at and items_chosen.outcome_until
    group by items_chosen.decision_id, lines_sold.event_id

),

-- A purchase that names the decision counts in full, others for the items chosen.
sales_named as (

    select
        reports_of_decisions.decision_id,
        orders.purchase_event_id as event_id,
        orders.currency,
        orders.revenue_cents,
    from reports_of_decisions
    inner join orders
        on reports_of_decisions.event_id = orders.purchase_event_id

),

sales_of_decisions as (

    select * from sales_named

    union all by name

    select sales_of_items.*
    from sales_of_items
    left join sales_named
        on
            sales_of_items.decision_id = sales_named.decision_id
            and sales_of_items.event_id = sales_named.event_id
    where sales_named.event_id is null

),

sales as (

    select
        decision_id,
        count(*) as purchase_count,
        case when count(distinct currency) = 1 then min(currency) end as currency,
        case
            when count(distinct currency) <= 1
                then cast(coalesce(sum(revenue_cents), 0) as bigint)
        end as revenue_cents,
    from sales_of_decisions
    group by decision_id

),

known as (

    select max(received_at) as known_up_to
    from events

),

final as (

    select
        decisions.decision_id,
        decisions.decided_at,
        decisions.decision_date,
        decisions.source,
        decisions.visitor_id,
        decisions.person_id,
        decisions.session_id,
        decisions.slot,
        decisions.policy_name,
        decisions.policy_version,
        decisions.candidates,
        decisions.candidate_scores,
        decisions.candidate_probabilities,
        decisions.chosen,
        decisions.choice,
        decisions.block_items,
        case
            when
                decisions.logged_probability > 0
                and decisions.logged_probability <= 1
                then decisions.logged_probability
        end as probability,
        decisions.place_probabilities,
        decisions.is_explored,
        decisions.is_held_out,
        decisions.trigger_name,
        decisions.arms,
        decisions.models,
        decisions.segment,
        decisions.answer,
        decisions.fallback,
        decisions.feature_age_seconds,
        decisions.latency_milliseconds,
        responses.exposed_at,
        coalesce(responses.exposure_count, 0) as exposure_count,
        responses.clicked_at,
        coalesce(responses.click_count, 0) as click_count,
        coalesce(responses.click_count, 0) > 0 as is_clicked,
        responses.response_reward,
        coalesce(carts.add_to_cart_count, 0) as add_to_cart_count,
        coalesce(sales.purchase_count, 0) as purchase_count,
        sales.currency,
        case
            when sales.decision_id is null then 0
            else sales.revenue_cents
        end as revenue_cents,
        decisions.outcome_until,
        decisions.outcome_until <= known.known_up_to as is_outcome_complete,
        decisions.has_personalization_consent,
        decisions.is_bot,
    from decisions
    cross join known
    left join responses
        on decisions.decision_id = responses.decision_id
    left join carts
        on decisions.decision_id = carts.decision_id
    left join sales
        on decisions.decision_id = sales.decision_id

)

select * from final

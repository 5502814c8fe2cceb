{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_key',
    on_schema_change='fail',
    post_hook=[
        "{{ mark_withdrawal(this) }}",
        "{{ delete_withdrawn_events(this) }}",
    ],
) }}

{%- set is_backfilled = is_incremental() and is_backfill() %}
{#- A row of the table without what is added to it below. -#}
{%- set as_arrived %}
        * exclude (
            has_analytics_consent,
            has_personalization_consent,
            has_marketing_consent,
            consent_basis,
            change_seq
        )
{%- endset %}

with

{% if is_backfilled %}
-- Those that occurred in the range as the table has it or as staging now says.
event_ids_to_read_again as (

    {% for format in var('event_formats') %}
    select event_id
    from {{ ref('stg_' ~ format ~ '__events') }}
    where {{ is_in_backfill() }}

    union
    {% endfor %}
    select event_id
    from {{ this }}
    where {{ is_in_backfill() }}

),

{% endif %}
arrived as (

    {% for format in var('event_formats') %}
    select
        *,
        {{ event_key('event_id') }} as event_key,
    from {{ ref('stg_' ~ format ~ '__events') }}
    {% if is_incremental() -%}
    where
        landing_id > {{ last_landing_id(this, format) }}
        {%- if is_backfilled %}
        or event_id in (select event_id from event_ids_to_read_again)
        {%- endif %}
    {% endif %}
    {%- if not loop.last %}
    union all by name
    {% endif -%}
    {% endfor %}

),

{% if is_incremental() %}
known as (

    select
        {{ as_arrived }},
    from {{ this }}
    where
        {{ is_found_by(this, 'event_key', 'arrived') }}
        {%- if is_backfilled %}
        and event_id not in (select event_id from event_ids_to_read_again)
        {%- endif %}

),

{% endif %}
claims as (

    select * from arrived
    {% if is_incremental() %}
    union all by name
    select * from known
    {% endif %}

),

-- Ranking is for the few ids that come more than once; the rest pass untouched.
repeated_ids as (

    select event_id
    from claims
    group by event_id
    having count(*) > 1

),

repeats_ranked as (

    select
        *,
        row_number() over (
            partition by event_id
            order by
                received_at,
                {{ row_hash(event_columns().keys()) }},
                landing_id,
                source_row
        ) as claim_number,
    from claims
    where event_id in (select event_id from repeated_ids)

),

winners as (

    select * exclude (claim_number)
    from repeats_ranked
    where claim_number = 1

    union all by name

    select *
    from claims
    where event_id not in (select event_id from repeated_ids)

),

changed as (

    select *
    from winners
    {% if is_incremental() %}
    where not exists (
        select 1
        from known
        where
            known.event_id = winners.event_id
            and known.landing_id = winners.landing_id
            and known.source_row = winners.source_row
    )
    {% endif %}

),

{% if is_backfilled %}
-- A change that no row carries would not be seen downstream. Where the range may end up
-- without a row, one from outside it, as it is, carries the number.
carrier as (

    select
        {{ as_arrived }},
    from {{ this }}
    where
        not {{ is_in_backfill() }}
        and event_id not in (select event_id from changed)
    order by change_seq desc, event_id asc
    limit 1

),

changed_or_carrier as (

    select * from changed
    union all by name
    select * from carrier

),

{% endif %}
final as (

    select
        *,
        {{ has_consent('analytics') }} as has_analytics_consent,
        {{ has_consent('personalization') }} as has_personalization_consent,
        {{ has_consent('marketing') }} as has_marketing_consent,
        case
            when {{ is_consent_unstated() }} then 'assumed'
            else 'stated'
        end as consent_basis,
        cast(
            {{ [next_change_seq(this), last_withdrawal(this) + 1] | max }} as bigint
        ) as change_seq,
    from {{ 'changed_or_carrier' if is_backfilled else 'changed' }}

)

select * from final

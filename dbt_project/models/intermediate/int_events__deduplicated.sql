{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='event_id',
    on_schema_change='fail',
) }}

with

arrived as (

    {% for format in var('event_formats') %}
    select *
    from {{ ref('stg_' ~ format ~ '__events') }}
    {% if is_incremental() -%}
    where landing_id > {{ last_landing_id(this, format) }}
    {% endif %}
    {%- if not loop.last %}
    union all by name
    {% endif -%}
    {% endfor %}

),

{% if is_incremental() %}
known as (

    select
        * exclude (
            has_analytics_consent,
            has_personalization_consent,
            has_marketing_consent,
            consent_basis,
            change_seq
        ),
    from {{ this }}
    where event_id in (select event_id from arrived)

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
        cast({{ next_change_seq(this) }} as bigint) as change_seq,
    from changed

)

select * from final

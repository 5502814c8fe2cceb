{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='visitor_id',
) }}

with

links as (

    select * from {{ ref('int_identity__links') }}

),

final as (

    select
        visitor_id,
        person_id,
        linked_at,
        link_reason,
        link_source,
        link_event_id,
        (
            select max(change_seq)
            from {{ ref('int_events__deduplicated') }}
        ) as change_seq,
    from links
    where
        is_primary
        {% if is_incremental() %}
        and not exists (
            select 1
            from {{ this }} as known
            where
                known.visitor_id = links.visitor_id
                and known.person_id = links.person_id
                and known.link_event_id = links.link_event_id
        )
        {% endif %}

)

select * from final

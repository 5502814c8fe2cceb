{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    on_schema_change='fail',
    unique_key='event_id',
    pre_hook=[
        "{{ forget_if_rebuilt(this, ref('int_events__sessionized')) }}",
        "{{ delete_rows_of_changed_events(this, 'event_id') }}",
    ],
) }}

with

events as (

    select * from {{ ref('int_events__deduplicated') }}

),

measured as (

    select
        event_id,
        is_page_view,
        engaged_milliseconds,
        change_seq,
    from {{ ref('int_events__sessionized') }}
    {% if is_incremental() -%}
    where change_seq > {{ last_change_seq(this) }}
    {%- endif %}

),

final as (

    select
        {{ feature_fact_columns(
            'measured.is_page_view',
            'measured.engaged_milliseconds',
        ) }}
        measured.change_seq,
    from measured
    inner join events
        on measured.event_id = events.event_id
    where {{ is_feature_fact() }}

)

select * from final

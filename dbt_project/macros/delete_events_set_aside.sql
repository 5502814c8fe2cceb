{#
    An event that was good can be set aside later: an earlier start makes its session
    too long, or its first arrival turns out to carry no consent. Its row must go.
#}
{% macro delete_events_set_aside(relation, key='event_id') -%}
    {#- Named outside the condition: dbt finds dependencies without running it. -#}
    {%- set sessionized = ref('int_events__sessionized') -%}
    {%- if is_incremental() -%}
        delete from {{ relation }}
        where {{ key }} in (
            select event_id
            from {{ sessionized }}
            where
                set_aside_reason is not null
                and change_seq > {{ last_change_seq(relation) }}
        )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

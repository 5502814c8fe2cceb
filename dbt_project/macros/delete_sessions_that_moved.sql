{#
    A late event can give a session an earlier first event and so another id. The row
    under the old id must go: it is the one whose first event is in another session now,
    or in none. Read from state, so a run that died half-way is made good by the next.
#}
{% macro delete_sessions_that_moved(relation) -%}
    {#- Named outside the condition: dbt finds dependencies without running it. -#}
    {%- set sessionized = ref('int_events__sessionized') -%}
    {%- if is_incremental() -%}
        delete from {{ relation }}
        where exists (
            select 1
            from {{ sessionized }} as events
            where
                events.event_id = {{ relation }}.first_event_id
                and events.change_seq > {{ last_change_seq(relation) }}
                and (
                    events.session_id is distinct from {{ relation }}.session_id
                    or events.set_aside_reason is not null
                )
        )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

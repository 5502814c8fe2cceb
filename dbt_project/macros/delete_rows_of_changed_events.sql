{#
    Deletes the rows that stand for an event that changed since: the event's own, or that
    of the session which it began. The model writes them again as they are now, if they
    still are: an event can be set aside later, turn out to be no page view, or begin a
    session no more because an earlier one arrived, or be withdrawn. Read from state, so a
    run that died half-way is made good by the next.

    `event_column` of `relation` holds what `key` is of an event.
#}
{% macro delete_rows_of_changed_events(relation, event_column, key='event_id') -%}
    {#- Named outside the condition: dbt finds dependencies without running it. -#}
    {%- set sessionized = ref('int_events__sessionized') -%}
    {%- set events = ref('int_events__deduplicated') -%}
    {%- if is_incremental() -%}
        {%- set changed -%}
            (select {{ key }} as {{ event_column }} from {{ sessionized }}
            where change_seq > {{ last_change_seq(relation) }})
        {%- endset -%}
        delete from {{ relation }}
        where {{ is_found_by(relation, event_column, changed) }}
        {%- if may_hold_withdrawn(relation, events) %}
        or {{ event_column }} not in (select {{ key }} from {{ sessionized }})
        {%- endif %}
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

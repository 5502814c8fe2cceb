{#
    An event that staging gives no more leaves no row that could tell of it. What a table
    holds of it is found by comparing ids with the table upstream, which costs the
    length of history; so that increments need not, the events table says in its comment
    at which change something was withdrawn last. A table that has not taken up this
    change yet compares, all others do not. Read from state, so a run that died half-way
    is made good by the next.
#}
{% macro mark_withdrawal(relation) -%}
    {{ return(adapter.dispatch('mark_withdrawal')(relation)) }}
{%- endmacro %}

{% macro default__mark_withdrawal(relation) -%}
    {%- if is_incremental() and is_backfill() -%}
        comment on table {{ relation }}
        is 'withdrawn at change {{ last_change_seq(relation) }}'
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{# Number of the change that withdrew events last; 0 where none did. #}
{% macro last_withdrawal(relation) -%}
    {{ return(adapter.dispatch('last_withdrawal')(relation)) }}
{%- endmacro %}

{% macro default__last_withdrawal(relation) -%}
    {#- A unit test has no table. -#}
    {%- if execute and relation -%}
        {%- set found = run_query(
            "select comment from duckdb_tables() where comment like 'withdrawn at %' "
            ~ "and schema_name = current_schema() "
            ~ "and table_name = '" ~ relation.identifier ~ "'"
        ) -%}
        {%- if found | length -%}
            {{ return(found[0][0].split(' ')[-1] | int) }}
        {%- endif -%}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{# Whether `relation` may still hold events that were withdrawn from `events`. #}
{% macro may_hold_withdrawn(relation, events) -%}
    {{ return(last_withdrawal(events) > last_change_seq(relation)) }}
{%- endmacro %}

{# Deletes the events of a backfill's days that staging gives no more. #}
{% macro delete_withdrawn_events(relation) -%}
    {%- if is_incremental() and is_backfill() -%}
        delete from {{ relation }}
        where
            {{ is_in_backfill() }}
            and event_id not in (
                {% for format in var('event_formats') -%}
                select event_id
                from {{ ref('stg_' ~ format ~ '__events') }}
                {{- ' union all ' if not loop.last }}
                {%- endfor %}
            )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{#
    Deletes whole sessions of which an event was withdrawn. What remains of them is then
    missing in `relation`, and has_changed_since places it anew.
#}
{% macro delete_sessions_of_withdrawn_events(relation) -%}
    {%- set events = ref('int_events__deduplicated') -%}
    {%- if is_incremental() and may_hold_withdrawn(relation, events) -%}
        delete from {{ relation }}
        where
            event_id not in (select event_id from {{ events }})
            or session_id in (
                select session_id
                from {{ relation }}
                where event_id not in (select event_id from {{ events }})
            )
    {%- else -%}
        select 1
    {%- endif -%}
{%- endmacro %}

{# Whether a row of int_events__deduplicated is one that `relation` has to take up. #}
{% macro has_changed_since(relation) -%}
    (
        change_seq > {{ last_change_seq(relation) }}
        {%- if may_hold_withdrawn(relation, ref('int_events__deduplicated')) %}
        or event_id not in (select event_id from {{ relation }})
        {%- endif %}
    )
{%- endmacro %}

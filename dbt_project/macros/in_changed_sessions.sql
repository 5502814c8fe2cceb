{#
    The rows of `events` whose session `relation` has yet to take up: all that are in one
    in a full build, in an increment those of sessions with a row of a later change.
#}
{% macro in_changed_sessions(events, relation) -%}
    select *
    from {{ events }}
    {%- if is_incremental() %}
    {%- set changed -%}
        (select session_id from {{ events }}
        where change_seq > {{ last_change_seq(relation) }})
    {%- endset %}
    where {{ is_found_by(events, 'session_id', changed) }}
    {%- else %}
    where session_id is not null
    {%- endif %}
{%- endmacro %}

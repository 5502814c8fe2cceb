{# Whether the event has a session of its source's, and the source is to keep it. #}
{% macro has_source_session(relation) -%}
    coalesce(
        {{ relation }}.source_session_id is not null
        and {{ relation }}.source in {{ sources_with('session_rule', 'source') }},
        false
    )
{%- endmacro %}

{# What sessions are cut within: a source's own session, else all of the visitor. #}
{% macro session_scope(relation) -%}
    case
        when {{ has_source_session(relation) }}
            then {{ relation }}.source || ':' || {{ relation }}.source_session_id
        else {{ relation }}.visitor_id
    end
{%- endmacro %}

{# Why an event is in no session, told by the event alone; null where nothing speaks. #}
{% macro refused_reason(relation) -%}
    case
        when not {{ relation }}.has_analytics_consent then 'no_analytics_consent'
        when
            {{ relation }}.sent_at > {{ relation }}.occurred_at
            + {{ source_setting(
                'days_late_allowed', 'null', relation ~ '.source'
            ) }}
            * interval '1 day'
            then 'created_too_long_before_sent'
    end
{%- endmacro %}

{# The longest idle time within a session. #}
{% macro session_gap() -%}
    interval '{{ var('session_gap_minutes') }} minutes'
{%- endmacro %}

{# True for an event that was received later after it occurred than on-time ones are. #}
{% macro is_late() -%}
    received_at > occurred_at + interval '{{ var("late_after_minutes") }} minutes'
{%- endmacro %}

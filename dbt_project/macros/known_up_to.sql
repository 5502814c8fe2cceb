{#
    How far a relation of facts reaches: the latest arrival of what visits sent. Times of
    a source without sessions are those of its records, typed in by hand and some of them
    to come; they count where there is nothing else.
#}
{% macro known_up_to() -%}
    coalesce(
        max(received_at) filter (where session_id is not null),
        max(received_at)
    )
{%- endmacro %}

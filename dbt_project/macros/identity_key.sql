{# One text for an identifier of a type, so that ids of two types never meet. #}
{% macro identity_key(type, identifier) -%}
    {{ type }} || '|' || {{ identifier }}
{%- endmacro %}

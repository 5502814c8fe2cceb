{# A SQL list of text literals for `in`. #}
{% macro string_list(values) -%}
    ('{{ values | join("', '") }}')
{%- endmacro %}

{# Surrogate key of the person behind a user id or behind a lone visitor id. #}
{% macro person_key(kind, column) -%}
    'p_' || md5('{{ kind }}|' || {{ column }})
{%- endmacro %}

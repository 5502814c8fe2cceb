{# A relation of the given columns, name -> type, without rows. #}
{% macro empty_relation(columns) -%}
    (
        select
            {% for name, type in columns.items() -%}
            cast(null as {{ type }}) as {{ name }}
            {{- ',' if not loop.last }}
            {% endfor %}
        where false
    )
{%- endmacro %}

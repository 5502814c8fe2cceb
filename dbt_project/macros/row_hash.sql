{# Hash of the given columns' values: equal rows have equal hashes on every engine. #}
{% macro row_hash(columns) -%}
    md5(concat_ws(
        '|',
        {% for column in columns -%}
        coalesce(cast({{ column }} as varchar), '~')
        {{- ', ' if not loop.last }}
        {% endfor %}
    ))
{%- endmacro %}

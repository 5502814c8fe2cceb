{#
    Hash of the given columns' values: equal rows have equal hashes on every engine, and
    rows that differ have others. Each value goes in with its length, so that no value
    can look like a null or like two.
#}
{% macro row_hash(columns) -%}
    md5(concat_ws(
        '|',
        {% for column in columns -%}
        coalesce(
            length(cast({{ column }} as varchar)) || ':' || cast({{ column }} as varchar),
            'null'
        )
        {{- ', ' if not loop.last }}
        {% endfor %}
    ))
{%- endmacro %}

{#
    Whether a row of `relation` has a `column` that the few rows of `wanted` have. Written
    so that the cost hardly grows with `relation`:
    - the column alone is read first, the others where it fits (`rowid`);
    - what is few is gathered in a list and planned as the small side that it is. DuckDB
      takes it for as large as the tables that it was picked from, and would read every
      column of all of history.
#}
{% macro is_found_by(relation, column, wanted) -%}
    {{ return(adapter.dispatch('is_found_by')(relation, column, wanted)) }}
{%- endmacro %}

{% macro default__is_found_by(relation, column, wanted) -%}
    {%- set values -%}
        select unnest(list({{ column }})) from {{ wanted }}
    {%- endset -%}
    {%- if relation.schema -%}
        rowid in (
            select unnest(list(rowid))
            from {{ relation }}
            where {{ column }} in ({{ values }})
        )
    {%- else -%}
        {#- A unit test's relations are no tables: no schema, no rowid. -#}
        {{ column }} in ({{ values }})
    {%- endif -%}
{%- endmacro %}

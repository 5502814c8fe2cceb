{#
    Rows of a declared source's raw table, with the columns that its YAML declares and
    those that say where a row came from. The YAML is also what the door goes by, so
    what is documented, what is landed and what is read here are one list.
#}
{% macro landed_source(table) -%}
    {%- set relation = source('raw', table) -%}
    {%- set columns = {} -%}
    {%- if execute -%}
        {%- for node in graph.sources.values() if node.name == table -%}
            {%- for column in node.columns.values() -%}
                {%- do columns.update({column.name: column.data_type}) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do columns.update(provenance_columns()) -%}
    {{ return(landed_rows(
        relation,
        'raw/format=' ~ (table | replace('_events', '')) ~ '/landing_id=*/events*.parquet',
        columns,
    )) }}
{%- endmacro %}

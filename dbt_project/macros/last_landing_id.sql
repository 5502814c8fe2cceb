{#
    Highest landing of `format` that `relation` holds. Landing numbers of a format appear
    in order, so everything up to it has been read. A constant in the query lets DuckDB
    skip the folders of older landings without opening them.
#}
{% macro last_landing_id(relation, format) -%}
    {%- if execute -%}
        {{ return(run_query(
            'select coalesce(max(landing_id), 0) from ' ~ relation
            ~ " where source_format = '" ~ format ~ "'"
        )[0][0]) }}
    {%- endif -%}
    {{ return(0) }}
{%- endmacro %}

{#
    Rows of raw Parquet under $NEARLINE_HOME, or an empty relation of the given columns
    where nothing has been landed yet: a source that a shop does not use is no error.

    relation: the dbt source, for lineage. columns: name -> type.
#}
{% macro landed_rows(relation, pattern, columns) -%}
    {{ return(adapter.dispatch('landed_rows')(relation, pattern, columns)) }}
{%- endmacro %}

{% macro default__landed_rows(relation, pattern, columns) -%}
    {%- set path = env_var('NEARLINE_HOME', '../.nearline') ~ '/' ~ pattern -%}
    {%- set found = 0 -%}
    {%- if execute -%}
        {%- set found = run_query("select count(*) from glob('" ~ path ~ "')")[0][0] -%}
    {%- endif -%}
    {%- if found -%}
        (
            select
                {% for name, type in columns.items() -%}
                cast({{ name }} as {{ type }}) as {{ name }}
                {{- ',' if not loop.last }}
                {% endfor %}
            from read_parquet(
                '{{ path }}',
                hive_partitioning = true,
                hive_types = {'format': varchar, 'landing_id': integer},
                union_by_name = true
            )
        )
    {%- else -%}
        (
            select
                {% for name, type in columns.items() -%}
                cast(null as {{ type }}) as {{ name }}
                {{- ',' if not loop.last }}
                {% endfor %}
            where false
        )
    {%- endif -%}
{%- endmacro %}

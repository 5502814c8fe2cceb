{#
    Rows of Parquet under $NEARLINE_HOME, or an empty relation of the given columns where
    there is none yet: a source that a shop does not use is no error. A column that no
    file has is null: files written before it was added stay as they are.

    relation: the dbt source, for lineage. columns: name -> type. A pattern with
    `landing_id=*` takes that column from the path.
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
    (
        select
            {% for name, type in columns.items() -%}
            cast({{ name }} as {{ type }}) as {{ name }}
            {{- ',' if not loop.last }}
            {% endfor %}
        from (
            select * from {{ empty_relation(columns) }}
            {% if found -%}
            union all by name
            {% if 'landing_id=' in pattern -%}
            select *
            from read_parquet(
                '{{ path }}',
                hive_partitioning = true,
                hive_types = {'landing_id': integer},
                union_by_name = true
            )
            {%- else -%}
            select *
            from read_parquet('{{ path }}')
            {%- endif %}
            {%- endif %}
        )
    )
{%- endmacro %}

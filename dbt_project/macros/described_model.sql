{#
    What the YAML says of a model of this project; nothing while dbt only parses, nor in
    a unit test, which is not told of other models.
#}
{% macro described_model(name) -%}
    {%- if execute and graph -%}
        {%- for node in graph.nodes.values()
            if node.resource_type == 'model' and node.name == name -%}
            {{ return(node) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return({}) }}
{%- endmacro %}

{# Name -> type of a model's columns, lowercase: by its YAML, else as it was built. #}
{% macro described_columns(name) -%}
    {%- set types = {} -%}
    {%- for column in described_model(name).get('columns', {}).values() -%}
        {%- do types.update({column.name: column.data_type | lower}) -%}
    {%- endfor -%}
    {%- if execute and not types -%}
        {%- set built = adapter.get_relation(target.database, target.schema, name) -%}
        {%- for column in adapter.get_columns_in_relation(built) -%}
            {%- do types.update({column.name: column.data_type | lower}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(types) }}
{%- endmacro %}

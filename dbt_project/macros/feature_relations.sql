{#
    Name -> relation of every feature model, for whoever reads them all: those named in
    `known` by reference, so that dbt builds them first, and any other that the project
    has, as it was built. Where somebody adds one, a model that reads them all runs in the
    second of the two steps of `nearline run`; a plain `dbt build` may read it of the build
    before.
#}
{% macro feature_relations(known) -%}
    {%- set relations = {} -%}
    {%- for name in known -%}
        {%- do relations.update({name: ref(name)}) -%}
    {%- endfor -%}
    {%- if execute and graph -%}
        {%- for node in graph.nodes.values() | sort(attribute='name')
            if node.resource_type == 'model'
            and node.fqn[1] == 'features'
            and node.name not in known -%}
            {%- set built = adapter.get_relation(
                target.database, target.schema, node.name
            ) -%}
            {%- if built -%}
                {%- do relations.update({node.name: built}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return(relations) }}
{%- endmacro %}

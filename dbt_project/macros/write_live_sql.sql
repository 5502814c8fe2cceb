{#
    Keeps, in the table `live_sql`, what the models of features and of `live/` were
    compiled to, with the models' meta: a release takes it along, and `nearline live` runs
    it (ADR 18). Names of relations lose their database and schema, so that others can take
    their place. A run that builds one model keeps what is known of the others.
#}
{% macro write_live_sql(results) -%}
    {{ return(adapter.dispatch('write_live_sql')(results)) }}
{%- endmacro %}

{% macro default__write_live_sql(results) -%}
    {%- set built = [] -%}
    {%- for result in results -%}
        {%- set node = result.node -%}
        {%- if
            node.resource_type == 'model'
            and node.fqn[1] in ['features', 'live']
            and result.status == 'success'
        -%}
            {%- do built.append(node) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not execute or not built -%}
        {{ return('') }}
    {%- endif -%}
    {%- set table = api.Relation.create(
        database=target.database, schema=target.schema, identifier='live_sql'
    ) -%}
    {%- do run_query(
        'create table if not exists ' ~ table
        ~ ' (model varchar primary key, compiled varchar, meta varchar)'
    ) -%}
    {%- set known = [] -%}
    {%- for node in graph.nodes.values()
        if node.resource_type == 'model' and node.fqn[1] in ['features', 'live'] -%}
        {%- do known.append("'" ~ node.name ~ "'") -%}
    {%- endfor -%}
    {%- do run_query(
        'delete from ' ~ table ~ ' where model not in (' ~ known | join(', ') ~ ')'
    ) -%}
    {%- for node in built -%}
        {%- set prefix = '"' ~ node.database ~ '"."' ~ node.schema ~ '".' -%}
        {%- do run_query(
            'insert or replace into ' ~ table ~ " values ('" ~ node.name ~ "', $sql$"
            ~ node.compiled_code | replace(prefix, '') ~ '$sql$, $sql$'
            ~ tojson(node.config.meta or {}) ~ '$sql$)'
        ) -%}
    {%- endfor -%}
{%- endmacro %}

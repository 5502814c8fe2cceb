{#
    Rows `node, steps` for every node that `edges` (`a`, `b`, in any direction) reach
    from `roots` (one column `node`): the least number of edges on the way. Rounds grow
    with that number, so it is for components that are capped.
#}
{% macro steps_from(roots, edges) -%}
    {%- if target.name == 'lint' -%}
        {#- The style check cannot parse `using key`. -#}
        {{ return('select roots.node, 0 as steps from ' ~ roots ~ ' as roots cross join ' ~ edges) }}
    {%- endif -%}
    {{ return(adapter.dispatch('steps_from')(roots, edges)) }}
{%- endmacro %}

{% macro duckdb__steps_from(roots, edges) -%}
    with recursive

    both_ways as materialized (

        select a, b from {{ edges }}
        union all
        select b as a, a as b from {{ edges }}

    ),

    reached (node, steps) using key (node) as (

        select node, 0 from {{ roots }}

        union

        select both_ways.b, min(reached.steps) + 1
        from reached
        inner join both_ways
            on reached.node = both_ways.a
        left join recurring.reached as known
            on both_ways.b = known.node
        where known.node is null
        group by both_ways.b

    )

    select node, steps
    from reached
{%- endmacro %}

{#
    Rows `node, least_node` for every node of `edges` (a relation of two columns `a` and `b`,
    one row per edge, in any direction): nodes that edges join have the same `least_node`,
    the least among them.

    FastSV (Zhang, Azad, Hu 2020): each round hooks labels onto the least label seen at
    a neighbour and cuts paths short, so the number of rounds grows with the logarithm
    of a component's diameter. Passing on the least label alone takes as many rounds as
    the diameter: minutes instead of seconds once accounts chain up.
#}
{% macro connected_components(edges) -%}
    {%- if target.name == 'lint' -%}
        {#- The style check cannot parse `using key`. -#}
        {{ return('select a as node, b as least_node from ' ~ edges) }}
    {%- endif -%}
    {{ return(adapter.dispatch('connected_components')(edges)) }}
{%- endmacro %}

{% macro duckdb__connected_components(edges) -%}
    with recursive

    both_ways as (

        select a, b from {{ edges }}
        union all
        select b as a, a as b from {{ edges }}

    ),

    labels (node, label) using key (node) as (

        select distinct a, a from both_ways

        union

        select node, min(candidate)
        from (
            select near.node, far.label as candidate, near.label as known
            from recurring.labels as near
            inner join recurring.labels as far
                on near.label = far.node

            union all

            select near.node, far_root.label, near.label
            from both_ways
            inner join recurring.labels as near
                on both_ways.a = near.node
            inner join recurring.labels as far
                on both_ways.b = far.node
            inner join recurring.labels as far_root
                on far.label = far_root.node

            union all

            select near_root.node, far_root.label, near_root.label
            from both_ways
            inner join recurring.labels as near
                on both_ways.a = near.node
            inner join recurring.labels as near_root
                on near.label = near_root.node
            inner join recurring.labels as far
                on both_ways.b = far.node
            inner join recurring.labels as far_root
                on far.label = far_root.node
        ) as improvements
        where candidate < known
        group by node

    )

    select node, label as least_node
    from labels
{%- endmacro %}

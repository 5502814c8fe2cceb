{#
    Sum of a measure kept to thousandths. Floats add up differently in another order of
    rows, and a table would then depend on the order of arrival; integers do not.
#}
{% macro exact_sum(expression) -%}
    sum(cast(round(({{ expression }}) * 1000) as bigint)) / 1000.0
{%- endmacro %}

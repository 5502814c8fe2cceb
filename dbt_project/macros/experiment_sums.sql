{# The columns of sums in int_experiments__sums, and by how much they are too large. #}
{% macro experiment_sum_columns() -%}
    {{ return({
        'value_sum': '1e3',
        'value_sum_squares': '1e6',
        'denominator_sum': '1e3',
        'denominator_sum_squares': '1e6',
        'value_denominator_sum': '1e6',
        'covariate_sum': '1e3',
        'covariate_sum_squares': '1e6',
        'value_covariate_sum': '1e6',
        'denominator_covariate_sum': '1e6',
    }) }}
{%- endmacro %}

{# Sums as the tables of readers have them; `over` makes them running ones. #}
{% macro experiment_sums(over='') -%}
    cast(sum(unit_count) {{ over }} as bigint) as unit_count,
    {% for name, size in experiment_sum_columns().items() -%}
    sum({{ name }}) {{ over }} / {{ size }} as {{ name }},
    {% endfor %}
{%- endmacro %}

{# Sums as they are, in thousandths. #}
{% macro experiment_differences() -%}
    sum(unit_count) as unit_count,
    {% for name in experiment_sum_columns() -%}
    sum({{ name }}) as {{ name }},
    {% endfor %}
{%- endmacro %}

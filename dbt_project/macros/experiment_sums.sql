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

{#
    Columns of a metric's values by unit and day: `v` at the end of the day and `v0` before
    it, `d` and `d0` of a ratio's denominator, `x` from before the exposure.
#}
{% macro experiment_values(metric) -%}
    cast({{ experiment_value(metric) }} as hugeint) as {{ metric.name }}__v,
    cast({{ experiment_value(metric, before=true) }} as hugeint) as {{ metric.name }}__v0,
    cast({{ metric.measure }}__pre as hugeint) as {{ metric.name }}__x,
    {%- if metric.denominator is defined %}
    cast({{ metric.denominator }} as hugeint) as {{ metric.name }}__d,
    cast({{ metric.denominator }}__before as hugeint) as {{ metric.name }}__d0,
    {%- endif %}
{%- endmacro %}

{# By how much the metric's sums change on a day: `vv` is that of the squares of `v`. #}
{% macro experiment_sums_of_day(metric) -%}
    {%- set v, v0, x = metric.name ~ '__v', metric.name ~ '__v0', metric.name ~ '__x' -%}
    sum({{ v }} - {{ v0 }}) as {{ v }},
    sum(({{ v }} - {{ v0 }}) * ({{ v }} + {{ v0 }})) as {{ v }}v,
    sum({{ x }}) filter (where is_first_day) as {{ x }},
    sum({{ x }} * {{ x }}) filter (where is_first_day) as {{ x }}x,
    sum({{ x }} * ({{ v }} - {{ v0 }})) as {{ v }}x,
    {%- if metric.denominator is defined %}
    {%- set d, d0 = metric.name ~ '__d', metric.name ~ '__d0' %}
    sum({{ d }} - {{ d0 }}) as {{ d }},
    sum(({{ d }} - {{ d0 }}) * ({{ d }} + {{ d0 }})) as {{ d }}d,
    sum({{ v }} * {{ d }} - {{ v0 }} * {{ d0 }}) as {{ v }}d,
    sum({{ x }} * ({{ d }} - {{ d0 }})) as {{ d }}x,
    {%- endif %}
{%- endmacro %}

{# Names of the sums that `experiment_sums_of_day` makes. #}
{% macro experiment_sum_names(metric) -%}
    {%- set v, x, d = metric.name ~ '__v', metric.name ~ '__x', metric.name ~ '__d' -%}
    {{ return(
        [v, v ~ 'v', x, x ~ 'x', v ~ 'x']
        + ([d, d ~ 'd', v ~ 'd', d ~ 'x'] if metric.denominator is defined else [])
    ) }}
{%- endmacro %}

{# The columns of sums in int_experiments__sums, and what they are made of. #}
{% macro experiment_summed_columns(metric) -%}
    {%- set v, x, d = metric.name ~ '__v', metric.name ~ '__x', metric.name ~ '__d' -%}
    {%- set is_ratio = metric.denominator is defined -%}
    {{ return({
        'value_sum': v,
        'value_sum_squares': v ~ 'v',
        'denominator_sum': d if is_ratio else 'null',
        'denominator_sum_squares': d ~ 'd' if is_ratio else 'null',
        'value_denominator_sum': v ~ 'd' if is_ratio else 'null',
        'covariate_sum': 'coalesce(' ~ x ~ ', 0)',
        'covariate_sum_squares': 'coalesce(' ~ x ~ 'x, 0)',
        'value_covariate_sum': v ~ 'x',
        'denominator_covariate_sum': d ~ 'x' if is_ratio else 'null',
    }) }}
{%- endmacro %}

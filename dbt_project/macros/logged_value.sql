{#
    A column's value in the form in which the log of served values has it: text where
    equal text is equal value, and a number where values can be near each other. Moments
    are whole seconds since 1970, which is what Feast stores of them. Types are lowercase.
#}
{% macro logged_text(column, data_type) -%}
    {{ return(adapter.dispatch('logged_text')(column, data_type)) }}
{%- endmacro %}

{% macro default__logged_text(column, data_type) -%}
    {%- if data_type in ('double', 'float') -%}
        cast(null as varchar)
    {%- elif data_type == 'timestamp' -%}
        cast(cast(floor(epoch({{ column }})) as bigint) as varchar)
    {%- elif data_type.endswith('[]') -%}
        cast(to_json({{ column }}) as varchar)
    {%- else -%}
        cast({{ column }} as varchar)
    {%- endif -%}
{%- endmacro %}

{% macro logged_number(column, data_type) -%}
    {{ return(adapter.dispatch('logged_number')(column, data_type)) }}
{%- endmacro %}

{% macro default__logged_number(column, data_type) -%}
    {%- if data_type in ('double', 'float', 'bigint', 'integer') -%}
        cast({{ column }} as double)
    {%- elif data_type == 'timestamp' -%}
        cast(floor(epoch({{ column }})) as double)
    {%- else -%}
        cast(null as double)
    {%- endif -%}
{%- endmacro %}

{#
    Marks a table that was built anew, so that publication does not take a day for
    unchanged because its rows carry the same change numbers as before the rebuild.
#}
{% macro mark_generation(relation) -%}
    {{ return(adapter.dispatch('mark_generation')(relation)) }}
{%- endmacro %}

{% macro default__mark_generation(relation) -%}
    {%- if is_incremental() -%}
        select 1
    {%- else -%}
        comment on table {{ relation }} is 'built by {{ invocation_id }}'
    {%- endif -%}
{%- endmacro %}

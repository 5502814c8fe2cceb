{#
    True for served rows of the feature views that these models define now. A version
    that is served no more meant something else by the same names; models whose YAML
    states no version have but one.
#}
{% macro is_of_current_view(models) -%}
    (
        {%- for model in models -%}
        {%- set view = described_model(model).get('config', {}).get('meta', {}).get(
            'feature_view'
        ) %}
            {{ 'or ' if not loop.first -}}
            (view_table = '{{ model }}'
            {%- if view %} and view_name = '{{ view.name }}_v{{ view.version }}'
            {%- endif %})
        {%- endfor %}
        )
{%- endmacro %}

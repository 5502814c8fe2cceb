{# A patch for `json_merge_patch` that takes these keys out of an object, as a SQL text. #}
{% macro patch_without(keys) -%}
    {%- set nothing = {} -%}
    {%- for key in keys -%}
        {%- do nothing.update({key: none}) -%}
    {%- endfor -%}
    '{{ nothing | tojson }}'
{%- endmacro %}

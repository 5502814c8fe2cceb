{#
    True for rows that name nobody who was erased or who opted out. Every staging model
    of events ends with it, in the contract's columns, so that whatever is built later
    inherits it.
#}
{% macro is_not_suppressed(relation) -%}
    {%- set key_types = {
        'visitor_id': 'visitor',
        'user_id': 'user',
        'contact_id': 'contact',
        'previous_visitor_id': 'visitor',
        'previous_user_id': 'user',
    } -%}
    {%- for column, key_type in key_types.items() %}
    {{ 'and ' if not loop.first }}not exists (
        select 1
        from {{ ref('stg_privacy__suppressed_keys') }} as suppressed
        where
            suppressed.key_type = '{{ key_type }}'
            and suppressed.key_value = {{ relation }}.{{ column }}
    )
    {%- endfor %}
{%- endmacro %}

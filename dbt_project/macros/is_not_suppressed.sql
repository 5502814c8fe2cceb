{#
    True for rows of nobody who was erased or who opted out. Every staging model of
    events ends with it, so that whatever is built later inherits it.
#}
{% macro is_not_suppressed(relation) -%}
    not exists (
        select 1
        from {{ ref('stg_privacy__suppressed_keys') }} as suppressed
        where
            suppressed.key_type = 'visitor'
            and suppressed.key_value = {{ relation }}.visitor_id
    )
    and not exists (
        select 1
        from {{ ref('stg_privacy__suppressed_keys') }} as suppressed
        where
            suppressed.key_type = 'user'
            and suppressed.key_value = {{ relation }}.user_id
    )
{%- endmacro %}

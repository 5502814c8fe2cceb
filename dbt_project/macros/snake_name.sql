{# A name as the event contract has names, `Add to cart` as `add_to_cart`; null where
   nothing is left of it. #}
{% macro snake_name(text) -%}
    {{ return(adapter.dispatch('snake_name')(text)) }}
{%- endmacro %}

{% macro default__snake_name(text) -%}
    nullif(rtrim(left(regexp_replace(trim(
        regexp_replace(
            lower(regexp_replace({{ text }}, '([a-z])([A-Z])', '\1_\2', 'g')),
            '[^a-z0-9]+', '_', 'g'
        ),
        '_'
    ), '^([0-9])', 'event_\1'), 64), '_'), '')
{%- endmacro %}

{# What the activity windows of a visitor add up, one column a measure. #}
{% macro visitor_measures() -%}
    {{ return([
        'page_view_count',
        'item_view_count',
        'add_to_cart_count',
        'purchase_count',
        'revenue_cents',
        'engaged_milliseconds',
    ]) }}
{%- endmacro %}

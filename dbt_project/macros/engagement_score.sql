{#
    Engagement score of one session, 0 to 100: a weighted sum of four parts, each the
    amount divided by what earns the part in full, capped at 1. Amounts and weights are
    vars; interactions are carts, content interactions, searches and purchases.
#}
{% macro engagement_score(engaged_seconds, page_views, scroll_rate, interactions) -%}
    100 * (
        {{ var('score_weight_engaged_seconds') }}
        * least(1.0, {{ engaged_seconds }} / {{ var('score_full_engaged_seconds') }})
        + {{ var('score_weight_page_views') }}
        * least(1.0, {{ page_views }} / {{ var('score_full_page_views') }})
        + {{ var('score_weight_scroll') }} * coalesce({{ scroll_rate }}, 0.0)
        + {{ var('score_weight_interactions') }}
        * least(1.0, {{ interactions }} / {{ var('score_full_interactions') }})
    )
{%- endmacro %}

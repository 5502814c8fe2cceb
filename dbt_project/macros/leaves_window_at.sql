{# When what occurred then is no longer in the window: at the end of its hop. #}
{% macro leaves_window_at(occurred_at, window) -%}
{%- set settings = var('feature_windows')[window] -%}
{%- set hop = settings.hop_minutes * 60000 -%}
epoch_ms(
    epoch_ms({{ occurred_at }}) // {{ hop }} * {{ hop }}
    + {{ settings.length_minutes * 60000 }}
)
{%- endmacro %}

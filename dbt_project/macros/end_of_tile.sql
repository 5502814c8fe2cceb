{# The end of the tile of so many minutes that a moment is in; a moment at an end is it. #}
{% macro end_of_tile(moment, tile_minutes) -%}
{%- set tile = tile_minutes * 60000 -%}
epoch_ms((epoch_ms({{ moment }}) + {{ tile - 1 }}) // {{ tile }} * {{ tile }})
{%- endmacro %}

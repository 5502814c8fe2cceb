{#
    A property of an event, from its JSON object: as text, as JSON as it stands, as a
    number, as true or false, or as a list. Null where the event has no such property or
    it is something else: what shops and apps send there is held to no contract.
#}
{% macro property_text(properties, name) -%}
    {{ return(adapter.dispatch('property_text')(properties, name)) }}
{%- endmacro %}

{% macro default__property_text(properties, name) -%}
    nullif({{ properties }} ->> '$.{{ name }}', '')
{%- endmacro %}

{% macro property_json(properties, name) -%}
    {{ return(adapter.dispatch('property_json')(properties, name)) }}
{%- endmacro %}

{% macro default__property_json(properties, name) -%}
    cast(nullif({{ properties }} -> '$.{{ name }}', 'null') as varchar)
{%- endmacro %}

{% macro property_number(properties, name) -%}
    {{ return(adapter.dispatch('property_number')(properties, name)) }}
{%- endmacro %}

{#- JSON has no infinity, but text that reads as one has. -#}
{% macro default__property_number(properties, name) -%}
    case
        when isfinite(try_cast({{ properties }} ->> '$.{{ name }}' as double))
            then try_cast({{ properties }} ->> '$.{{ name }}' as double)
    end
{%- endmacro %}

{% macro property_flag(properties, name) -%}
    {{ return(adapter.dispatch('property_flag')(properties, name)) }}
{%- endmacro %}

{% macro default__property_flag(properties, name) -%}
    try_cast({{ properties }} ->> '$.{{ name }}' as boolean)
{%- endmacro %}

{% macro property_list(properties, name, type) -%}
    {{ return(adapter.dispatch('property_list')(properties, name, type)) }}
{%- endmacro %}

{% macro default__property_list(properties, name, type) -%}
    from_json({{ properties }} -> '$.{{ name }}', '["{{ type }}"]')
{%- endmacro %}

{#
    Columns of a property that is a list of rows, such as [["a", 0.8, 0.5], ["b", 0.1, 0.5]]:
    the text or the number at `place` (from 1) of each row.
#}
{% macro property_rows(properties, name, place, type) -%}
    {{ return(adapter.dispatch('property_rows')(properties, name, place, type)) }}
{%- endmacro %}

{% macro default__property_rows(properties, name, place, type) -%}
    list_transform(
        from_json({{ properties }} -> '$.{{ name }}', '[["VARCHAR"]]'),
        lambda line: try_cast(line[{{ place }}] as {{ type }})
    )
{%- endmacro %}

{#
    The items of an event as a list of structs: `items` where it has some, else the
    event's own item columns as the only one.
#}
{% macro item_list(relation) -%}
    {{ return(adapter.dispatch('item_list')(relation)) }}
{%- endmacro %}

{% macro default__item_list(relation) -%}
    case
        when {{ relation }}.items is not null
            then from_json(
                {{ relation }}.items,
                '[{"item_id": "VARCHAR", "item_category": "VARCHAR", '
                || '"item_brand": "VARCHAR", "price_cents": "BIGINT", '
                || '"quantity": "BIGINT"}]'
            )
        else [struct_pack(
            item_id := {{ relation }}.item_id,
            item_category := {{ relation }}.item_category,
            item_brand := {{ relation }}.item_brand,
            price_cents := {{ relation }}.price_cents,
            quantity := {{ relation }}.quantity
        )]
    end
{%- endmacro %}

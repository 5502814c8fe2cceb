{#
    One row per item of an event: the lines of `items` where it has some, else the
    event's own item columns as line 1.
#}
{% macro item_lines(relation) -%}
    {{ return(adapter.dispatch('item_lines')(relation)) }}
{%- endmacro %}

{% macro default__item_lines(relation) -%}
    unnest(
        case
            when {{ relation }}.items is not null
                then list_transform(
                    from_json(
                        {{ relation }}.items,
                        '[{"item_id": "VARCHAR", "item_category": "VARCHAR",
                        "item_brand": "VARCHAR", "price_cents": "BIGINT",
                        "quantity": "BIGINT"}]'
                    ),
                    lambda item, position: struct_pack(
                        line_number := position,
                        item_id := item.item_id,
                        item_category := item.item_category,
                        item_brand := item.item_brand,
                        price_cents := item.price_cents,
                        quantity := coalesce(item.quantity, 1)
                    )
                )
            else [struct_pack(
                line_number := 1,
                item_id := {{ relation }}.item_id,
                item_category := {{ relation }}.item_category,
                item_brand := {{ relation }}.item_brand,
                price_cents := {{ relation }}.price_cents,
                quantity := coalesce({{ relation }}.quantity, 1)
            )]
        end
    )
{%- endmacro %}

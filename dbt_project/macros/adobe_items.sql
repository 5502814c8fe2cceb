{#
    Lines of Adobe's products (JSON, each with the price of the whole line) as a list of
    the contract's, with the price of one piece; those beyond the contract's 200 are
    left out.
#}
{% macro adobe_items(products) -%}
    {{ return(adapter.dispatch('adobe_items')(products)) }}
{%- endmacro %}

{% macro default__adobe_items(products) -%}
    list_transform(
        from_json(
            {{ products }},
            '[{"product_id": "VARCHAR", "category": "VARCHAR", '
            || '"total_cents": "BIGINT", "quantity": "BIGINT"}]'
        )[1:200],
        lambda line: struct_pack(
            item_id := line.product_id,
            item_category := line.category,
            price_cents := case
                when line.total_cents >= 0
                    then cast(
                        round(
                            line.total_cents / greatest(coalesce(line.quantity, 1), 1)
                        ) as bigint
                    )
            end,
            quantity := greatest(coalesce(line.quantity, 1), 1)
        )
    )
{%- endmacro %}

{#
    GA4's lines (JSON, prices in currency units) as a list of the contract's, prices in
    cents; lines that name no item are left out, and those beyond the contract's 200.
    A line without an id is known by its name, as in GA4's reports.
#}
{% macro ga4_items(items) -%}
    {{ return(adapter.dispatch('ga4_items')(items)) }}
{%- endmacro %}

{% macro default__ga4_items(items) -%}
    list_filter(
        list_transform(
            from_json(
                {{ items }},
                '[{"item_id": "VARCHAR", "item_name": "VARCHAR", '
                || '"item_category": "VARCHAR", "item_brand": "VARCHAR", '
                || '"price": "VARCHAR", "quantity": "VARCHAR"}]'
            ),
            lambda line: struct_pack(
                item_id := case
                    when regexp_full_match(line.item_id, '[A-Za-z0-9_.:-]{1,64}')
                        then line.item_id
                    when line.item_id not in ('(not set)', '***')
                        then md5(line.item_id)
                    when line.item_name not in ('(not set)', '***')
                        then md5(line.item_name)
                end,
                item_category := {{ default__ga4_item_text('line.item_category') }},
                item_brand := {{ default__ga4_item_text('line.item_brand') }},
                price_cents := case
                    when try_cast(line.price as decimal(18, 4)) between 0 and 10000000000
                        then cast(
                            round(try_cast(line.price as decimal(18, 4)) * 100) as bigint
                        )
                end,
                quantity := case
                    when try_cast(line.quantity as bigint) between 1 and 10000
                        then try_cast(line.quantity as bigint)
                    else 1
                end
            )
        ),
        lambda line: line.item_id is not null
    )[1:200]
{%- endmacro %}

{% macro default__ga4_item_text(text) -%}
    left(nullif({{ text }}, '(not set)'), 256)
{%- endmacro %}

{{ of_persons(
    visitor_cart('facts_of_persons'),
    nothing={'cart_items': '[]', 'cart_item_count': 0, 'cart_value_cents': 0},
) }}

{{ of_persons(
    visitor_recent('facts_of_persons'),
    nothing={
        'last_viewed_items': '[]',
        'last_carted_items': '[]',
        'last_bought_items': '[]',
        'last_viewed_categories': '[]',
        'last_viewed_brands': '[]',
    },
) }}

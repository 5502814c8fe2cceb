"""Which category and item somebody looks at next, left to themselves.

What somebody makes of an item that a page shows does not belong here (see `reactions`).
"""

from bisect import bisect
from random import Random

from nearline.simulate.catalogue import Catalogue, Category, Item
from nearline.simulate.people import Person
from nearline.simulate.streams import draw_index

_FAVOURITE_BRAND_RATE = 0.45
_OFF_INTEREST_RATE = 0.12


def choose_category(rng: Random, catalogue: Catalogue, person: Person) -> Category:
    """One of the person's categories, now and then any."""
    categories = catalogue.categories
    if rng.random() < _OFF_INTEREST_RATE:
        return categories[int(rng.random() * len(categories))]
    place = draw_index(rng, person.category_shares)
    return categories[person.categories[place]]


def choose_item(rng: Random, person: Person, category: Category) -> Item:
    """An item of a favourite brand, or by popularity."""
    random = rng.random
    if random() < _FAVOURITE_BRAND_RATE:
        for brand in person.favourite_brands:
            places = category.by_brand.get(brand)
            if places:
                return category.items[places[int(random() ** 2 * len(places))]]
    return category.items[bisect(category.popularity, random() * 0.999999)]

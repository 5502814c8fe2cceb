"""What the shop sells: categories, brands, prices, names. Not who likes what."""

from dataclasses import dataclass

from nearline.simulate.streams import (
    Topic,
    cumulate,
    draw_index,
    draw_lognormal,
    open_stream,
)

CURRENCY = "EUR"
ITEMS_PER_CATEGORY = 40
BRANDS_PER_CATEGORY = 6

# Category: median price in cents, nouns, whether sizes matter.
_CATEGORIES: tuple[tuple[str, int, tuple[str, ...], bool], ...] = (
    ("Shoes", 8_500, ("Runner", "Boot", "Sneaker", "Sandal", "Loafer"), True),
    ("Jackets", 12_000, ("Parka", "Shell", "Anorak", "Blazer", "Gilet"), True),
    ("Shirts", 3_500, ("Tee", "Polo", "Overshirt", "Henley", "Blouse"), True),
    ("Bags", 6_000, ("Backpack", "Tote", "Duffel", "Messenger", "Pouch"), False),
    ("Kitchen", 4_500, ("Pan", "Kettle", "Knife", "Grinder", "Carafe"), False),
    ("Lighting", 7_000, ("Lamp", "Lantern", "Pendant", "Spotlight", "Bulb"), False),
    ("Audio", 14_000, ("Headphones", "Speaker", "Turntable", "Radio", "Dock"), False),
    ("Outdoor", 9_500, ("Tent", "Stove", "Bottle", "Hammock", "Torch"), False),
)
_ADJECTIVES = (
    "Alpine",
    "Classic",
    "Coastal",
    "Compact",
    "Daily",
    "Field",
    "Harbour",
    "Light",
    "Metro",
    "Nordic",
    "Prime",
    "Solid",
    "Summit",
    "Trail",
    "Urban",
    "Winter",
)
BRANDS = (
    "Aldervik",
    "Bryndal",
    "Calmare",
    "Dovetail",
    "Emberly",
    "Fjordine",
    "Gravelle",
    "Hollowell",
    "Istria",
    "Juniper",
    "Kestrel",
    "Lumenor",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on sale, with its JSON texts made once instead of once an event."""

    item_id: str
    name: str
    category: str
    brand: str
    price_cents: int
    has_sizes: bool
    path: str
    event_fields: str
    """The contract's item fields, opening with a comma."""
    line_start: str
    """An entry of `items` up to the quantity's value."""


@dataclass(frozen=True, slots=True)
class Category:
    """Items in order of popularity; `by_brand` holds positions in `items`."""

    name: str
    slug: str
    nouns: tuple[str, ...]
    items: tuple[Item, ...]
    popularity: list[float]
    by_brand: dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything on sale."""

    categories: tuple[Category, ...]

    @property
    def items(self) -> list[Item]:
        return [item for category in self.categories for item in category.items]


def make_catalogue(seed: int) -> Catalogue:
    """The shop's catalogue: 8 categories of 40 items, each of 6 out of 12 brands.

    Popularity falls as one over the rank (plus a few, so that no item takes it all).
    """
    rng = open_stream(seed, Topic.CATALOGUE)
    popularity = cumulate([1 / (rank + 4) for rank in range(ITEMS_PER_CATEGORY)])
    categories = []
    for number, (name, median, nouns, has_sizes) in enumerate(_CATEGORIES):
        brands = rng.sample(BRANDS, BRANDS_PER_CATEGORY)
        brand_shares = cumulate([1 / (rank + 2) for rank in range(len(brands))])
        items = []
        for position in range(ITEMS_PER_CATEGORY):
            euros = max(5, round(draw_lognormal(rng, median, 0.45) / 100))
            items.append(
                _make_item(
                    number * ITEMS_PER_CATEGORY + position + 1,
                    f"{rng.choice(_ADJECTIVES)} {nouns[position % len(nouns)]}",
                    name,
                    brands[draw_index(rng, brand_shares)],
                    euros * 100 - rng.choice((1, 5, 10, 100)),
                    has_sizes,
                )
            )
        categories.append(
            Category(
                name,
                name.lower(),
                nouns,
                tuple(items),
                popularity,
                {
                    brand: tuple(
                        place for place, item in enumerate(items) if item.brand == brand
                    )
                    for brand in brands
                },
            )
        )
    return Catalogue(tuple(categories))


def _make_item(
    number: int, name: str, category: str, brand: str, price: int, has_sizes: bool
) -> Item:
    item_id = f"sku_{number:04d}"
    shared = (
        f'"item_id":"{item_id}","item_category":"{category}",'
        f'"item_brand":"{brand}","price_cents":{price}'
    )
    return Item(
        item_id=item_id,
        name=f"{brand} {name}",
        category=category,
        brand=brand,
        price_cents=price,
        has_sizes=has_sizes,
        path=f"/p/{item_id}",
        event_fields=f',{shared},"currency":"{CURRENCY}"',
        line_start=f'{{{shared},"quantity":',
    )

"""What the shop tells about what it sells: finding items, reviews, answers, GA4's lines.

The items are the simulator's, under the same ids, so that a simulated shop and what was
clicked here can be in one set of tables.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nearline.simulate.catalogue import Catalogue, Category, Item, make_catalogue

CATALOGUE_SEED = 7
"""The default of `nearline simulate`."""

_MOST_FOUND = 24
_REVIEWS_PER_ITEM = 3
_REVIEWS: tuple[tuple[int, str], ...] = (
    (5, "Even better than on the picture. I use it every day."),
    (5, "Well made, quick delivery, would buy it again."),
    (5, "Bought it as a present and kept it."),
    (5, "After three months it still looks new."),
    (4, "Good quality for the price. The colour is a little darker than I thought."),
    (4, "Does what it should. The box was larger than it had to be."),
    (4, "Solid and simple. A longer manual would have helped."),
    (4, "Very pleased, though it took a few days to get used to it."),
    (3, "All right, but I had hoped for a bit more at this price."),
    (3, "Fine for now and then. Not sure how it will age."),
)
_MONTHS = ("January", "March", "April", "June", "August", "September", "October")
_PROMISES = {
    "Shoes": "Light on the foot, sturdy on the way, and easy to resole.",
    "Jackets": "Keeps wind and rain out without weighing you down.",
    "Shirts": "Soft, hard-wearing cotton that gets better with every wash.",
    "Bags": "Room for the day, pockets where you look for them, seams that hold.",
    "Kitchen": "A plain tool that does one thing well, for a very long time.",
    "Lighting": "Warm light where you need it, and none where you do not.",
    "Audio": "Clear at low volume, calm at high volume, one button for all.",
    "Outdoor": "Packs small, sets up in a minute, forgives bad weather.",
}


@dataclass(frozen=True, slots=True)
class Review:
    """What a customer thought; `stars` out of five."""

    review_id: str
    stars: int
    text: str
    bought_in: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A question that is asked about every product, and its answer."""

    content_id: str
    question: str
    text: str


ANSWERS = (
    Answer(
        "faq_delivery",
        "When will it arrive?",
        "Never: this is a demo shop, and nothing leaves it. In a real one this is where "
        "delivery times would be.",
    ),
    Answer(
        "faq_returns",
        "Can I send it back?",
        "Whatever you have not received, you may return at any time.",
    ),
    Answer(
        "faq_care",
        "How do I take care of it?",
        "Keep it dry and clean, and repair it before you replace it.",
    ),
)


class Goods:
    """The catalogue with the look-ups that pages need."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.categories = catalogue.categories
        self.items = {item.item_id: item for item in catalogue.items}
        self._by_slug = {category.slug: category for category in catalogue.categories}

    def category(self, slug: str) -> Category | None:
        return self._by_slug.get(slug)

    def category_of(self, item: Item) -> Category:
        return self._by_slug[item.category.lower()]

    def popular(self, count: int) -> list[Item]:
        """The best sellers of as many categories, in turn."""
        ranked = zip(*(category.items for category in self.categories), strict=True)
        return [item for rank in ranked for item in rank][:count]

    def beside(self, item: Item, count: int) -> list[Item]:
        """Others of the same category, from the most popular on."""
        others = (other for other in self.category_of(item).items if other is not item)
        return [other for other, _ in zip(others, range(count), strict=False)]

    def search(self, term: str) -> list[Item]:
        """Items whose name or category holds every word of `term`, however written."""
        words = term.lower().split()
        if not words:
            return []
        found = [
            item
            for item in self.items.values()
            if all(word in f"{item.name} {item.category}".lower() for word in words)
        ]
        return found[:_MOST_FOUND]


def open_goods() -> Goods:
    """The goods of the demo shop."""
    return Goods(make_catalogue(CATALOGUE_SEED))


def promise(item: Item) -> str:
    """What the shop says of an item, by its category."""
    return _PROMISES[item.category]


def reviews(item: Item) -> list[Review]:
    """The reviews of an item, always the same ones."""
    rng = random.Random(item.item_id)
    return [
        Review(f"review_{item.item_id}_{number}", stars, text, rng.choice(_MONTHS))
        for number, (stars, text) in enumerate(
            rng.sample(_REVIEWS, _REVIEWS_PER_ITEM), start=1
        )
    ]


def line(item: Item, quantity: int | None = None) -> dict[str, Any]:
    """An item as GA4 writes it. Its name is not sent: the tables know ids."""
    fields: dict[str, Any] = {
        "item_id": item.item_id,
        "item_category": item.category,
        "item_brand": item.brand,
        "price": item.price_cents / 100,
    }
    return fields if quantity is None else {**fields, "quantity": quantity}


def lines(items: Iterable[Item]) -> list[dict[str, Any]]:
    return [line(item) for item in items]


def euros(cents: int) -> str:
    """Money as people read it: 123456 is "€1,234.56"."""
    return f"€{cents // 100:,}.{cents % 100:02d}"

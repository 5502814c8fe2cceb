"""The cart, kept in a cookie of the browser: the shop itself remembers nobody.

`sku_0001.2~sku_0007.1`. It is set when something is put into the cart, ends with the
browser session and is never read for anything else; a cookie that a page cannot work
without needs no consent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nearline.simulate.catalogue import Item

COOKIE = "cart"
MOST_LINES = 20
MOST_OF_ONE = 9


@dataclass(frozen=True, slots=True)
class Cart:
    """How many of which items, in the order in which they were added."""

    quantities: Mapping[Item, int] = field(default_factory=dict)

    @property
    def item_count(self) -> int:
        return sum(self.quantities.values())

    @property
    def total_cents(self) -> int:
        return sum(item.price_cents * count for item, count in self.quantities.items())

    def with_added(self, item: Item, quantity: int) -> "Cart":
        if item not in self.quantities and len(self.quantities) >= MOST_LINES:
            return self
        together = min(MOST_OF_ONE, self.quantities.get(item, 0) + quantity)
        return Cart({**self.quantities, item: together})

    def without(self, item: Item) -> "Cart":
        return Cart(
            {other: n for other, n in self.quantities.items() if other is not item}
        )

    def as_cookie(self) -> str:
        return "~".join(f"{item.item_id}.{n}" for item, n in self.quantities.items())


def read_cart(cookie: str | None, items: Mapping[str, Item]) -> Cart:
    """The cart that the cookie describes; whatever in it is nonsense is left out."""
    cart = Cart()
    for entry in (cookie or "").split("~")[:MOST_LINES]:
        item_id, _, count = entry.partition(".")
        if item_id in items and is_quantity(count):
            cart = cart.with_added(items[item_id], int(count))
    return cart


def is_quantity(text: str) -> bool:
    """Whether `text` is a number of items that can be bought at once."""
    return text in {str(count) for count in range(1, MOST_OF_ONE + 1)}

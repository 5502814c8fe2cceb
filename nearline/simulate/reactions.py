"""What people make of a list of items: chances in closed form, and what they then do.

Belongs here: the one model of taste that both the live simulator's people and its truth go
by. Not here: how a list is asked for (`live`), or what somebody looks at unasked
(`choosing`).

Somebody likes an item by its category and brand, 0 to 1. An item in a list of k weighs
`1 + care * liking`. It is clicked with probability `CLICK_RATE * weight / k`, what is
clicked goes into the cart with `CART_RATE * weight`, and is bought with `BUY_RATE`. Who
bought nothing of the list buys what was looked at before with `OWN_PURCHASE_RATE`. With a
care of 0 all lists are the same to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

CLICK_RATE = 0.2
CART_RATE = 0.2
BUY_RATE = 0.8
OWN_PURCHASE_RATE = 0.04
MOST_CARE = 1 / max(CLICK_RATE, CART_RATE) - 1
"""Beyond, a probability could leave 0 to 1."""

_LIKING_OF_CATEGORIES = (0.75, 0.4, 0.2)
_LIKING_OF_BRAND = 0.25


class Ware(Protocol):
    """What is liked or not."""

    @property
    def category(self) -> str: ...

    @property
    def brand(self) -> str: ...

    @property
    def price_cents(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Taste:
    """Categories, the dearest first, and brands that somebody likes."""

    categories: tuple[str, ...]
    brands: tuple[str, ...]

    def likes(self, ware: Ware) -> float:
        """How much, 0 to 1."""
        liking = _LIKING_OF_BRAND if ware.brand in self.brands else 0.0
        if ware.category in self.categories:
            liking += _LIKING_OF_CATEGORIES[self.categories.index(ware.category)]
        return liking


@dataclass(frozen=True, slots=True)
class Chances:
    """Of one person and one list: probabilities, and the revenue to expect."""

    click: float
    add_to_cart: float
    conversion: float
    revenue_cents: float


@dataclass(frozen=True, slots=True)
class Luck:
    """Uniform numbers that decide, whatever is shown: drawn before it is known."""

    click: float
    cart: float
    purchase: float
    own: float

    @classmethod
    def drawn(cls, rng: Random) -> "Luck":
        return cls(rng.random(), rng.random(), rng.random(), rng.random())


@dataclass(frozen=True, slots=True)
class Reaction:
    """What somebody did: the place in the list that was clicked (None: none)."""

    clicked: int | None
    has_carted: bool
    has_bought: bool
    buys_own: bool


def chances(
    taste: Taste, shown: Sequence[Ware], care: float, own_price_cents: int
) -> Chances:
    """What is to be expected of somebody who sees `shown`.

    Args:
        own_price_cents: price of what is bought without the list, if anything is.
    """
    clicks = carts = purchases = revenue = 0.0
    for ware in shown:
        weight = 1 + care * taste.likes(ware)
        click = CLICK_RATE * weight / len(shown)
        cart = click * CART_RATE * weight
        clicks += click
        carts += cart
        purchases += cart * BUY_RATE
        revenue += cart * BUY_RATE * ware.price_cents
    own = (1 - purchases) * OWN_PURCHASE_RATE
    return Chances(
        click=clicks,
        # Somebody who put something of the list into the cart and left it there may yet
        # buy what was seen before; the cart was used all the same.
        add_to_cart=carts + (1 - carts) * OWN_PURCHASE_RATE,
        conversion=purchases + own,
        revenue_cents=revenue + own * own_price_cents,
    )


def react(taste: Taste, shown: Sequence[Ware], care: float, luck: Luck) -> Reaction:
    """What somebody of this taste and luck does with `shown`."""
    clicked = None
    has_carted = has_bought = False
    left = luck.click
    for place, ware in enumerate(shown):
        weight = 1 + care * taste.likes(ware)
        left -= CLICK_RATE * weight / len(shown)
        if left < 0:
            clicked = place
            has_carted = luck.cart < CART_RATE * weight
            has_bought = has_carted and luck.purchase < BUY_RATE
            break
    return Reaction(
        clicked=clicked,
        has_carted=has_carted,
        has_bought=has_bought,
        buys_own=not has_bought and luck.own < OWN_PURCHASE_RATE,
    )

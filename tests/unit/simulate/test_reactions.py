"""What people make of a list: probabilities worked out by hand, and acted by."""

from dataclasses import dataclass
from itertools import product

import pytest

from nearline.simulate.reactions import MOST_CARE, Luck, Taste, chances, react

TASTE = Taste(("Shoes", "Audio", "Bags"), ("Kestrel", "Istria"))


@dataclass(frozen=True)
class Thing:
    category: str
    brand: str
    price_cents: int = 1_000


DEAREST = Thing("Shoes", "Kestrel", 3_000)
SOME = Thing("Audio", "Juniper", 2_000)
NONE = Thing("Kitchen", "Juniper")


@pytest.mark.parametrize(
    ("thing", "liking"),
    [
        (DEAREST, 1.0),
        (Thing("Shoes", "Juniper"), 0.75),
        (SOME, 0.4),
        (Thing("Bags", "Istria"), 0.45),
        (Thing("Kitchen", "Istria"), 0.25),
        (NONE, 0.0),
    ],
)
def test_liking_is_of_category_and_brand(thing: Thing, liking: float) -> None:
    assert TASTE.likes(thing) == pytest.approx(liking)


def test_chances_are_those_worked_out_by_hand() -> None:
    # Weights with a care of 2: 3, 1.8, 1. Clicks: a fifth of each third of them.
    # Carts: click times a fifth of the weight. Purchases: four in five of the carts.
    found = chances(TASTE, [DEAREST, SOME, NONE], care=2, own_price_cents=500)
    carts = 0.2 * 0.2 / 3 * (9 + 3.24 + 1)
    bought = 0.8 * carts
    revenue = 0.8 * 0.2 * 0.2 / 3 * (9 * 3_000 + 3.24 * 2_000 + 1_000)
    assert found.click == pytest.approx(0.2 / 3 * 5.8)
    assert found.add_to_cart == pytest.approx(carts + (1 - carts) * 0.04)
    assert found.conversion == pytest.approx(bought + (1 - bought) * 0.04)
    assert found.revenue_cents == pytest.approx(revenue + (1 - bought) * 0.04 * 500)


def test_who_does_not_care_is_the_same_whatever_is_shown() -> None:
    lists = ([DEAREST, DEAREST, SOME], [NONE, NONE, NONE], [NONE])
    for shown in lists:
        assert chances(TASTE, shown, 0, 500).click == pytest.approx(0.2)
    luck = Luck(click=0.19, cart=0.1, purchase=0.6, own=0.9)
    bought = {react(TASTE, shown, 0, luck).has_bought for shown in lists}
    assert bought == {True}


def test_an_empty_list_leaves_what_people_buy_unasked() -> None:
    found = chances(TASTE, [], care=4, own_price_cents=500)
    assert (found.click, found.conversion) == (0, 0.04)
    assert found.revenue_cents == pytest.approx(20)


def test_who_cares_most_still_acts_by_probabilities() -> None:
    found = chances(TASTE, [DEAREST], MOST_CARE, 500)
    assert found.click == pytest.approx(1)
    assert 0 < found.add_to_cart <= 1


@pytest.mark.parametrize("care", [0.0, 1.5, 4.0])
def test_people_act_as_often_as_their_chances_say(care: float) -> None:
    """Luck laid out as a grid of cell middles: shares are off by a cell's width at most."""
    shown = [SOME, DEAREST, NONE, SOME]
    steps = 24
    middles = [(step + 0.5) / steps for step in range(steps)]
    luck = [Luck(*one) for one in product(middles, middles, middles, (0.02, 0.98))]
    weights = [0.04 if one.own < 0.5 else 0.96 for one in luck]
    reactions = [react(TASTE, shown, care, one) for one in luck]

    def share(values: list[bool]) -> float:
        kept = (w for w, value in zip(weights, values, strict=True) if value)
        return sum(kept) / steps**3

    expected = chances(TASTE, shown, care, 500)
    clicked = share([one.clicked is not None for one in reactions])
    carted = share([one.has_carted or one.buys_own for one in reactions])
    bought = share([one.has_bought or one.buys_own for one in reactions])
    assert clicked == pytest.approx(expected.click, abs=1 / steps)
    assert carted == pytest.approx(expected.add_to_cart, abs=2 / steps)
    assert bought == pytest.approx(expected.conversion, abs=3 / steps)

"""The cart's cookie comes from the browser, so it may hold anything."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nearline.demo_shop.cart import MOST_LINES, MOST_OF_ONE, Cart, read_cart
from nearline.demo_shop.goods import open_goods

ITEMS = open_goods().items
IDS = sorted(ITEMS)


@given(
    st.dictionaries(
        st.sampled_from(IDS), st.integers(1, MOST_OF_ONE), max_size=MOST_LINES
    )
)
def test_a_cart_comes_back_from_its_cookie(quantities: dict[str, int]) -> None:
    cart = Cart({ITEMS[item_id]: count for item_id, count in quantities.items()})
    back = read_cart(cart.as_cookie(), ITEMS)
    assert list(back.quantities.items()) == list(cart.quantities.items())


@settings(max_examples=300)
@given(st.text(alphabet="sku_0123456789.~-x٣ ", max_size=200))
def test_whatever_the_cookie_says_the_cart_can_be_bought(cookie: str) -> None:
    cart = read_cart(cookie, ITEMS)
    assert len(cart.quantities) <= MOST_LINES
    assert all(1 <= count <= MOST_OF_ONE for count in cart.quantities.values())
    assert set(cart.quantities) <= set(ITEMS.values())


@pytest.mark.parametrize(
    "cookie",
    ["sku_0001", "sku_0001.0", "sku_0001.10", "sku_0001.-1", "sku_9999.1", "~~", ""],
)
def test_nonsense_in_the_cookie_is_left_out(cookie: str) -> None:
    assert read_cart(cookie, ITEMS) == Cart()


def test_the_total_counts_every_piece() -> None:
    # 2 x 91.00 and 3 x 55.95, as the catalogue has them.
    cart = read_cart("sku_0002.2~sku_0001.3", ITEMS)
    assert cart.total_cents == 18_200 + 16_785
    assert cart.item_count == 5


def test_adding_twice_adds_up_to_the_most_of_one() -> None:
    item = ITEMS["sku_0001"]
    cart = Cart().with_added(item, 4).with_added(item, 3)
    assert cart.quantities == {item: 7}
    assert cart.with_added(item, 9).quantities == {item: MOST_OF_ONE}


def test_a_full_cart_takes_no_further_item() -> None:
    cart = Cart({ITEMS[item_id]: 1 for item_id in IDS[:MOST_LINES]})
    assert cart.with_added(ITEMS[IDS[MOST_LINES]], 1) == cart
    assert cart.without(ITEMS[IDS[0]]).item_count == MOST_LINES - 1

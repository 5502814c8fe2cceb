"""What the shop says about its goods, and what it sends of them."""

import json
from decimal import Decimal

import pytest

from nearline.demo_shop.goods import Goods, euros, line, promise, reviews
from nearline.demo_shop.pictures import TONE_COUNT, draw, drawings


def test_items_are_those_of_a_simulated_shop(goods: Goods) -> None:
    assert len(goods.items) == 8 * 40
    assert goods.items["sku_0002"].name == "Bryndal Solid Boot"


def test_every_item_has_a_picture_and_something_said_of_it(goods: Goods) -> None:
    for item in goods.items.values():
        assert draw(item).count("<svg") == 1
        assert promise(item)
        assert len({review.text for review in reviews(item)}) == 3


def test_there_is_no_drawing_without_a_thing(goods: Goods) -> None:
    nouns = {noun for category in goods.categories for noun in category.nouns}
    assert set(drawings()) == nouns


def test_neighbours_on_a_page_have_different_tones(goods: Goods) -> None:
    def tone(picture: str) -> str:
        return picture.partition("tone-")[2][0]

    for category in goods.categories:
        tones = [tone(draw(item)) for item in category.items[:TONE_COUNT]]
        assert len(set(tones)) == TONE_COUNT
    popular = [tone(draw(item)) for item in goods.popular(8)]
    assert len(set(popular)) == 8


def test_what_is_sent_of_a_price_is_exact(goods: Goods) -> None:
    for item in goods.items.values():
        text = json.dumps(line(item)["price"])
        assert Decimal(text) * 100 == item.price_cents


def test_an_items_name_is_not_sent(goods: Goods) -> None:
    item = goods.items["sku_0002"]
    assert item.name not in json.dumps(line(item, 2))


@pytest.mark.parametrize(
    ("term", "names"),
    [
        ("solid boot", {"Bryndal Solid Boot"}),
        ("BOOT solid", {"Bryndal Solid Boot"}),
        ("", set()),
        ("   ", set()),
        ("zeppelin", set()),
    ],
)
def test_search_finds_what_has_every_word(
    goods: Goods, term: str, names: set[str]
) -> None:
    found = goods.search(term)
    assert {item.name for item in found if "Bryndal" in item.name} == names


def test_popular_items_are_of_as_many_categories(goods: Goods) -> None:
    assert len({item.category for item in goods.popular(8)}) == 8


def test_others_of_a_category_do_not_hold_the_item_itself(goods: Goods) -> None:
    item = goods.items["sku_0001"]
    beside = goods.beside(item, 4)
    assert [other.item_id for other in beside] == [
        "sku_0002", "sku_0003", "sku_0004", "sku_0005",
    ]  # fmt: skip


def test_money_is_written_for_people() -> None:
    assert euros(5) == "€0.05"
    assert euros(9_100) == "€91.00"
    assert euros(123_456_789) == "€1,234,567.89"

"""The demo shop's goods, made once."""

import pytest

from nearline.demo_shop.goods import Goods, open_goods


@pytest.fixture(scope="session")
def goods() -> Goods:
    return open_goods()

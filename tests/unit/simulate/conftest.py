"""Two shops that differ in the experiment's effect alone, simulated once for all."""

import pytest

from tests.unit.simulate.simulated_shop import Shop, open_shop


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="package")
def shop_without_effect(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return open_shop(tmp_path_factory.mktemp("shop"), effect=0.0)

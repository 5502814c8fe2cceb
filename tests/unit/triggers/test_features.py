"""Live features as triggers and as conditions; their values are given by the test."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nearline.decisions.vocabulary import PERSON_SERVICE, SERVICE
from nearline.settings import Settings
from nearline.triggers.arriving import ArrivedEvent
from nearline.triggers.definitions import Triggers
from nearline.triggers.engine import Engine
from nearline.triggers.features import needed_services
from nearline.triggers.reading import read_triggers
from nearline.triggers.state import State, connect, transaction

START = 1_777_000_000_000
BANNER = "deliver: [{ to: banner, content: hello }]"


class Shop:
    """A store with values of one visitor, and the seconds at which it acts or is read."""

    def __init__(self, state: State, triggers: Triggers) -> None:
        self.values: Mapping[str, Any] | None = {}
        self._state = state
        self._engine = Engine(state, triggers, features=lambda visitor: self.values)
        self._number = 0

    def act(self, second: int, name: str = "page_view") -> None:
        self._number += 1
        at = START + second * 1_000
        event = ArrivedEvent(
            event_id=f"e{self._number}",
            name=name,
            visitor_id="anna",
            user_id=None,
            at=at,
            arrival=at,
            fields={},
            is_usable=True,
            consents={"personalization": True, "marketing": False},
        )
        with transaction(self._state.connection):
            self._engine.run([event], None)

    def look(self, second: int) -> int:
        with transaction(self._state.connection):
            self._engine.check_features(START + second * 1_000)
        return self.fired()

    def fired(self) -> int:
        rows = self._state.connection.execute("select count(*) from firings")
        return int(rows.fetchone()[0])


@pytest.fixture
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shop]:
    (tmp_path / "t.yml").write_text(
        f"triggers: {{ hello: {{ {request.param}, {BANNER} }} }}"
    )
    with closing(connect(tmp_path / "state.sqlite")) as connection:
        yield Shop(State(connection), read_triggers(tmp_path, Settings().dbt_project))


@pytest.mark.parametrize(
    "shop",
    ["on: { holds: item_view_count_1h >= 3 }"],
    ids=["entered"],
    indirect=True,
)
def test_a_feature_fires_when_it_begins_to_hold_and_again_after_it_did_not(
    shop: Shop,
) -> None:
    counts = []
    for second, value in ((0, 2), (100, 3), (200, 4), (300, 1), (400, 3)):
        shop.values = {"item_view_count_1h": value}
        shop.act(second)
        counts.append(shop.look(second + 2))
    assert counts == [0, 1, 1, 1, 2]


@pytest.mark.parametrize(
    "shop",
    ["on: { holds: item_view_count_1h >= 3 }"],
    ids=["entered"],
    indirect=True,
)
def test_a_value_that_the_processor_writes_later_is_seen_by_a_later_look(
    shop: Shop,
) -> None:
    shop.values = {"item_view_count_1h": 2}
    shop.act(0)
    assert shop.look(1) == 0
    shop.values = {"item_view_count_1h": 3}
    assert shop.look(5) == 1
    assert shop.look(60) == 1


@pytest.mark.parametrize(
    "shop",
    ["on: { holds: cart_item_count > 0, change: left }"],
    ids=["left"],
    indirect=True,
)
def test_a_feature_that_ceases_to_hold_fires_too(shop: Shop) -> None:
    for second, value in ((0, 1), (100, 0)):
        shop.values = {"cart_item_count": value}
        shop.act(second)
        shop.look(second + 2)
    assert shop.fired() == 1


@pytest.mark.parametrize(
    "shop",
    ["on: { event: search }, when: purchase_count_30d = 0"],
    ids=["condition"],
    indirect=True,
)
def test_a_condition_on_a_feature_is_asked_at_the_firing(shop: Shop) -> None:
    counts = []
    for second, values in enumerate(
        [{"purchase_count_30d": 1}, None, {}, {"purchase_count_30d": 0}]
    ):
        shop.values = values
        shop.act(second, "search")
        counts.append(shop.fired())
    # A store that is away, and a value that nobody knows, are no permission.
    assert counts == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("said", "services"),
    [
        ("on: { holds: item_view_count_1h >= 3 }", {SERVICE}),
        (
            "on: { event: search }, when: person.purchase_count_30d = 0",
            {PERSON_SERVICE},
        ),
        (
            "on: { holds: segment = 'engaged_user' }, when: person.cart_item_count > 0",
            {SERVICE, PERSON_SERVICE},
        ),
        ("on: { event: search }, when: cart.is_filled", set()),
        ("on: { event: search }", set()),
    ],
    ids=["visitor", "person", "both", "cart", "none"],
)
def test_only_the_services_that_conditions_ask_for_are_needed(
    tmp_path: Path, said: str, services: set[str]
) -> None:
    (tmp_path / "t.yml").write_text(f"triggers: {{ hello: {{ {said}, {BANNER} }} }}")
    found = read_triggers(tmp_path, Settings().dbt_project)
    assert needed_services(found) == services

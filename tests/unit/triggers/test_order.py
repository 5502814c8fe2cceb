"""What fires follows from what happened: not from order, batches, copies or crashes.

The oracle walks through the events once in the order in which they happened, as somebody
would who had watched them. The engine gets them as they arrive.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from nearline.settings import Settings
from nearline.triggers.arriving import ArrivedEvent
from nearline.triggers.definitions import Triggers
from nearline.triggers.engine import Engine
from nearline.triggers.reading import read_triggers
from nearline.triggers.state import State, connect, transaction

START = 1_777_000_000_000
SECOND = 1_000
AFTER, GRACE, COOLDOWN = 300, 10, 900
COUNT, WITHIN, VIEWS_COOLDOWN = 3, 200, 400
DEFINITIONS = f"""
triggers:
  cart:
    on: {{ event: add_to_cart }}
    when: cart.is_filled
    after: {AFTER}s
    wait_for_late: {GRACE}s
    restarted_by: [view_cart, remove_from_cart]
    cancelled_by: [purchase]
    cooldown: {COOLDOWN}s
    deliver: [{{ to: banner, content: cart }}]
  views:
    on: {{ event: view_item, count: {COUNT}, within: {WITHIN}s, per: item }}
    wait_for_late: {GRACE}s
    cancelled_by: [purchase]
    cooldown: {VIEWS_COOLDOWN}s
    deliver: [{{ to: banner, content: views }}]
"""
NAMES = ["add_to_cart", "remove_from_cart", "view_cart", "purchase", "view_item"]
Firing = tuple[str, str, str, int]


@pytest.fixture(scope="module")
def triggers(tmp_path_factory: pytest.TempPathFactory) -> Triggers:
    folder = tmp_path_factory.mktemp("triggers")
    (folder / "t.yml").write_text(DEFINITIONS)
    return read_triggers(folder, Settings().dbt_project)


@dataclass(frozen=True)
class Happening:
    """An event at a second, known so many seconds later, and again after others."""

    at: int
    who: str
    name: str
    item: str
    delay: int
    again_after: int | None


happenings = st.lists(
    st.builds(
        Happening,
        at=st.integers(0, 3_000),
        who=st.sampled_from(["anna", "ben"]),
        name=st.sampled_from(NAMES),
        item=st.sampled_from(["a", "b"]),
        delay=st.integers(0, GRACE),
        again_after=st.none() | st.integers(0, 2_000),
    ),
    max_size=40,
)


def arrived(given: Sequence[Happening]) -> list[ArrivedEvent]:
    """In the order of arrival, copies included."""
    found = []
    for number, one in enumerate(given):
        fields = {} if one.name in ("purchase", "view_cart") else {"item_id": one.item}
        event = ArrivedEvent(
            event_id=f"e{number:03}",
            name=one.name,
            visitor_id=one.who,
            user_id=None,
            at=START + one.at * SECOND,
            arrival=START + (one.at + one.delay) * SECOND,
            fields=fields,
            is_usable=True,
            consents={"personalization": True, "marketing": True},
        )
        found.append(event)
        if one.again_after is not None:
            later = event.arrival + one.again_after * SECOND
            found.append(replace(event, arrival=later))
    return sorted(found, key=lambda event: event.arrival)


def expected(given: Sequence[Happening]) -> list[Firing]:
    """The oracle."""
    ordered = sorted(enumerate(given), key=lambda pair: (pair[1].at, pair[0]))
    firings: list[Firing] = []
    for who in ("anna", "ben"):
        mine = [one for _, one in ordered if one.who == who]
        firings += [("cart", who, "", due) for due in carts_left(mine)]
        for item in ("a", "b"):
            firings += [("views", who, item, at) for at in views_of(mine, item)]
    return sorted(firings)


def carts_left(mine: Sequence[Happening]) -> list[int]:
    due: int | None = None
    cart: dict[str, int] = defaultdict(int)
    fired: list[int] = []
    end = Happening(10**6, "", "", "", 0, None)
    for one in [*mine, end]:
        if due is not None and one.at > due:
            if sum(cart.values()):
                fired.append(due)
            due = None
        is_ready = not fired or one.at >= fired[-1] + COOLDOWN
        if one.name == "purchase":
            due = None
            cart.clear()
        elif one.name == "add_to_cart":
            cart[one.item] += 1
            # What happens at the very moment of a firing was seen by it.
            if due is None and is_ready and one.at not in fired:
                due = one.at + AFTER
        elif one.name in ("view_cart", "remove_from_cart"):
            if one.name == "remove_from_cart":
                cart[one.item] = max(0, cart[one.item] - 1)
            if due is not None:
                due = one.at + AFTER
    return fired


def views_of(mine: Sequence[Happening], item: str) -> list[int]:
    seen: list[int] = []
    fired: list[int] = []
    for place, one in enumerate(mine):
        if one.name == "purchase":
            # One of the same second, later in the order, is before the firing, too.
            if fired and fired[-1] == one.at and place:
                fired.pop()
            seen = []
        if one.name != "view_item" or one.item != item:
            continue
        if fired and one.at == fired[-1]:
            continue
        seen.append(one.at)
        recent = [at for at in seen if one.at - at <= WITHIN]
        is_ready = not fired or one.at >= fired[-1] + VIEWS_COOLDOWN
        if len(recent) >= COUNT and is_ready:
            fired.append(one.at)
            seen = []
    return fired


class Crash(Exception):
    """In place of a kill: nothing after it is done."""


class Fragile(sqlite3.Connection):
    """Fails at the statement of a number, once."""

    left = -1

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if self.left == 0 and sql != "rollback":
            self.left = -1
            raise Crash
        self.left -= 1
        return super().execute(sql, *values)


def run(
    triggers: Triggers,
    events: Sequence[ArrivedEvent],
    batches: Sequence[int],
    crashes: Sequence[int] = (),
) -> list[Firing]:
    """Takes events by batches of these sizes, again and again, and crashes at these
    statements; each batch goes on from the position that was committed."""
    with closing(open_state()) as connection:
        state, place, turn, falls = State(connection), 0, 0, list(crashes)
        while True:
            size = batches[turn % len(batches)] if batches else len(events) or 1
            turn += 1
            part = events[place : place + size]
            is_all = place + len(part) == len(events)
            connection.left = falls.pop() if falls else -1
            try:
                state.begin_step()
                with transaction(connection):
                    settled = START + 10**7 * SECOND if is_all else None
                    Engine(state, triggers).run(part, settled)
                    state.move_to({0: place + len(part)})
            except Crash:
                place = state.positions().get(0, 0)
                continue
            place += len(part)
            if is_all:
                break
            if turn % 2:
                # Nothing comes for a while, and time passes up to the next arrival.
                connection.left = -1
                with transaction(connection):
                    Engine(state, triggers).run([], events[place].arrival)
        connection.left = -1
        rows = connection.execute(
            "select trigger_name, visitor_id, key, due from firings"
        ).fetchall()
        return sorted((t, w, k, (due - START) // SECOND) for t, w, k, due in rows)


def open_state() -> Fragile:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Fragile)
    with closing(connect(Path(":memory:"))) as made:
        made.backup(connection)
    return connection


@given(given=happenings)
@settings(max_examples=150, deadline=None)
def test_in_whatever_order_they_arrive_in_time_the_firings_are_the_oracles(
    triggers: Triggers, given: list[Happening]
) -> None:
    assert run(triggers, arrived(given), []) == expected(given)


@given(
    given=happenings,
    batches=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    crashes=st.lists(st.integers(0, 60), max_size=6),
)
@settings(max_examples=100, deadline=None)
def test_batches_and_crashes_change_nothing(
    triggers: Triggers,
    given: list[Happening],
    batches: list[int],
    crashes: list[int],
) -> None:
    # Later than what is waited for, too: then the order of arrival counts, and it alone.
    late = [replace(one, delay=one.delay * 60) for one in given]
    events = arrived(late)
    assert run(triggers, events, batches, crashes) == run(triggers, events, [])


def test_the_oracle_itself_fires_and_is_cancelled() -> None:
    def happens(at: int, name: str) -> Happening:
        return Happening(at, "anna", name, "a", 0, None)

    carts = [happens(0, "add_to_cart"), happens(200, "view_cart")]
    views = [happens(at, "view_item") for at in (10, 20, 30, 500, 510, 520)]
    assert expected(carts + views) == [
        ("cart", "anna", "", 500),
        ("views", "anna", "a", 30),
        ("views", "anna", "a", 520),
    ]
    assert expected([*carts, happens(499, "purchase")]) == []

"""Events in a log, a clock, and what fires: once, whenever and however it is read."""

import json
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from nearline.log import LogRecord
from nearline.triggers.running import Follower
from tests.unit.triggers.trigger_site import TriggerSite, trigger_site, user, visitor

CART = """
triggers:
  cart_left:
    like: cart_left
    deliver:
      - { to: block, slot: home_top, content: cart_reminder }
"""
MINUTE = 60.0
ANNA = visitor("anna")


@pytest.fixture
def site(tmp_path: Path) -> TriggerSite:
    made = trigger_site(tmp_path / "home")
    made.define(CART)
    return made


def test_a_cart_left_for_half_an_hour_fires_once(site: TriggerSite) -> None:
    site.arrive(site.event("anna", "add_to_cart", 0, item_id="kettle"))
    assert site.step(29 * MINUTE).fired == 0
    assert site.step(31 * MINUTE).fired == 1
    assert site.step(600 * MINUTE).fired == 0
    assert site.firings() == [("cart_left", ANNA, "", 30 * MINUTE)]


def test_a_purchase_before_that_cancels_it(site: TriggerSite) -> None:
    site.arrive(
        site.event("anna", "add_to_cart", 0, item_id="kettle"),
        site.event("anna", "purchase", 29 * MINUTE),
    )
    site.step(120 * MINUTE)
    assert site.firings() == []


def test_the_delay_begins_anew_with_what_is_done_to_the_cart(site: TriggerSite) -> None:
    site.arrive(
        site.event("anna", "add_to_cart", 0, item_id="kettle"),
        site.event("anna", "view_cart", 20 * MINUTE),
    )
    site.step(120 * MINUTE)
    assert site.firings() == [("cart_left", ANNA, "", 50 * MINUTE)]


def test_an_emptied_cart_is_not_left(site: TriggerSite) -> None:
    site.arrive(
        site.event("anna", "add_to_cart", 0, item_id="kettle", quantity=2),
        site.event("anna", "remove_from_cart", MINUTE, item_id="kettle", quantity=2),
    )
    site.step(120 * MINUTE)
    assert site.firings() == []


def test_read_late_it_fires_for_when_it_was_due(site: TriggerSite) -> None:
    site.arrive(
        site.event("anna", "add_to_cart", 0, item_id="kettle"),
        site.event("anna", "purchase", 45 * MINUTE),
    )
    site.step(60 * MINUTE)
    assert site.firings() == [("cart_left", ANNA, "", 30 * MINUTE)]
    assert site.messages() == [("block", "withdrawn")]


def test_a_purchase_that_arrives_afterwards_takes_the_message_back(
    site: TriggerSite,
) -> None:
    site.arrive(site.event("anna", "add_to_cart", 0, item_id="kettle"))
    site.step(31 * MINUTE)
    assert site.messages() == [("block", "waiting")]
    site.arrive(site.event("anna", "purchase", 29 * MINUTE, arrived=40 * MINUTE))
    site.step(41 * MINUTE)
    assert site.messages() == [("block", "withdrawn")]
    assert len(site.firings()) == 1


def test_a_purchase_on_another_device_of_the_account_cancels_it(
    site: TriggerSite,
) -> None:
    account = user("anna")
    site.arrive(
        site.event("phone", "add_to_cart", 0, item_id="kettle", user_id=account),
        site.event("laptop", "purchase", 10 * MINUTE, user_id=account),
    )
    site.step(120 * MINUTE)
    assert site.firings() == []


class TwoPartitions:
    """Reads a log as if it had two partitions, of which one is ahead."""

    topic = "events"

    def __init__(self, parts: dict[int, list[LogRecord]]) -> None:
        self._parts = parts

    def partitions(self) -> list[int]:
        return sorted(self._parts)

    def read(self, partition: int, start: int, limit: int) -> list[LogRecord]:
        part = self._parts[partition]
        return [one for one in part if one.offset >= start][:limit]

    def append(self, records: object) -> None:
        pass

    def close(self) -> None:
        pass


def test_partitions_are_read_in_the_order_of_arrival_and_nothing_is_skipped(
    site: TriggerSite,
) -> None:
    account = user("anna")
    added = [
        site.event("phone", "page_view", at, user_id=account) for at in range(5)
    ] + [site.event("phone", "add_to_cart", 5, item_id="a", user_id=account)]
    bought = [
        site.event("laptop", "page_view", 0.5, user_id=account),
        site.event("laptop", "purchase", 10, user_id=account),
    ]
    parts = {
        number: [
            LogRecord(
                number,
                offset,
                # A clock that went back once: the second is before the first.
                round(datetime.fromisoformat(one["received_at"]).timestamp() * 1000)
                + (5_000 if (number, offset) == (1, 0) else 0),
                "key",
                json.dumps(one).encode(),
            )
            for offset, one in enumerate(events)
        ]
        for number, events in enumerate((added, bought))
    }
    site.now = 120 * MINUTE
    with closing(Follower(site.settings, clock=site.clock, max_records=2)) as follower:
        follower._log = TwoPartitions(parts)  # type: ignore[assignment]
        while not follower.step().is_idle:
            pass
    assert site.rows("select place, next_offset from positions order by place") == [
        (0, "6"),
        (1, "2"),
    ]
    assert site.firings() == []


def test_no_consent_no_firing(site: TriggerSite) -> None:
    site.arrive(
        site.event(
            "anna",
            "add_to_cart",
            0,
            item_id="kettle",
            consent_personalization=False,
        ),
        site.event("ben", "add_to_cart", 0, item_id="kettle"),
        site.event("ben", "consent", MINUTE, consent_personalization=False),
    )
    site.step(120 * MINUTE)
    assert site.firings() == []


def test_a_bot_fires_nothing(site: TriggerSite) -> None:
    site.arrive(
        site.event("anna", "add_to_cart", 0, item_id="kettle", bot_reason="crawler")
    )
    site.step(120 * MINUTE)
    assert site.firings() == []


def test_a_firing_is_an_event_in_the_log_that_says_whether_it_is_held_out(
    site: TriggerSite,
) -> None:
    site.define(CART + "    hold_out: 1.0\n")
    site.arrive(site.event("anna", "add_to_cart", 0, item_id="kettle"))
    site.step(31 * MINUTE)
    [event] = site.logged("trigger_fired")
    assert event["visitor_id"] == ANNA
    assert event["source"] == "nearline_triggers"
    assert event["properties"]["trigger"] == "cart_left"
    assert event["properties"]["hold_out"] is True
    assert not any(name.startswith("consent") for name in event)
    assert site.messages() == []

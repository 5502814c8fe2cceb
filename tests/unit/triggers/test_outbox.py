"""What waits on the page for a visitor, for as long as it may be shown."""

from datetime import timedelta
from pathlib import Path

import pytest

from nearline.privacy.suppression import suppress
from nearline.triggers import PendingBlocks, pending_blocks
from tests.unit.triggers.trigger_site import NOON, TriggerSite, trigger_site, visitor

ANNA = visitor("anna")


@pytest.fixture
def site(tmp_path: Path) -> TriggerSite:
    made = trigger_site(tmp_path / "home")
    made.define(
        """
triggers:
  seen:
    on: { event: view_item }
    cancelled_by: [purchase]
    cooldown: 1h
    expiry: 10m
    deliver:
      - { to: block, slot: home_top, content: similar_items }
      - { to: banner, content: hello, shows: 2 }
"""
    )
    made.arrive(made.event("anna", "view_item", 0, item_id="kettle"))
    made.step(1)
    return made


def contents(site: TriggerSite, who: str = ANNA) -> list[str]:
    found = pending_blocks(site.settings, who, site.clock())
    return sorted(block.content for block in found)


def test_a_visitors_messages_say_slot_content_and_what_they_are_about(
    site: TriggerSite,
) -> None:
    block, banner = sorted(
        pending_blocks(site.settings, ANNA, site.clock()),
        key=lambda one: one.message_id,
    )
    assert (block.trigger, block.slot, block.content) == (
        "seen",
        "home_top",
        "similar_items",
    )
    assert (banner.slot, banner.content) == ("banner", "hello")
    assert block.data["item_id"] == "kettle"
    assert block.expires_at == NOON + timedelta(minutes=10)


def test_of_nobody_and_of_strangers_there_are_none(
    tmp_path: Path, site: TriggerSite
) -> None:
    empty = trigger_site(tmp_path / "empty")
    assert pending_blocks(empty.settings, ANNA, NOON) == []
    assert contents(site, visitor("ben")) == []


def test_they_end_with_their_expiry(site: TriggerSite) -> None:
    site.now = 599
    assert contents(site) == ["hello", "similar_items"]
    site.now = 600
    assert contents(site) == []


def test_a_purchase_ends_them(site: TriggerSite) -> None:
    site.arrive(site.event("anna", "purchase", 5))
    site.step(6)
    assert contents(site) == []


def test_a_response_ends_its_own_message(site: TriggerSite) -> None:
    [banner] = [
        one
        for one in pending_blocks(site.settings, ANNA, site.clock())
        if one.content == "hello"
    ]
    properties = {"message_id": banner.message_id}
    site.arrive(site.event("ben", "response", 5, properties=properties))
    site.step(6)
    assert contents(site) == ["hello", "similar_items"], "not hers to end"
    site.arrive(site.event("anna", "response", 7, properties=properties))
    site.step(8)
    assert contents(site) == ["similar_items"]


def test_it_is_shown_as_often_as_it_may_be(site: TriggerSite) -> None:
    [banner] = [
        one
        for one in pending_blocks(site.settings, ANNA, site.clock())
        if one.content == "hello"
    ]
    for second, left in ((5, 2), (6, 1)):
        site.arrive(
            site.event(
                "anna",
                "exposure",
                second,
                experiment_key="trigger.seen",
                variant_key="shown",
                properties={"message_id": banner.message_id},
            )
        )
        site.step(second + 1)
        assert len(contents(site)) == left


def test_what_names_the_decision_that_showed_it_counts_like_what_names_the_message(
    site: TriggerSite,
) -> None:
    [banner] = [
        one
        for one in pending_blocks(site.settings, ANNA, site.clock())
        if one.content == "hello"
    ]
    decision = site.event(
        "anna", "decision", 5, properties={"message_id": banner.message_id}
    )
    # Of another visitor, and of a decision that showed no message.
    foreign = site.event(
        "ben", "decision", 5, properties={"message_id": banner.message_id}
    )
    other = site.event("anna", "decision", 5, properties={"message_id": None})
    site.arrive(decision, foreign, other)
    site.step(6)
    for who, of, second in (("ben", foreign, 7), ("anna", other, 8)):
        named = {"decision_id": of["event_id"]}
        site.arrive(site.event(who, "click", second, properties=named))
        site.step(second + 1)
    assert contents(site) == ["hello", "similar_items"]
    named = {"decision_id": decision["event_id"]}
    site.arrive(site.event("anna", "slot_visible", 10, properties=named))
    site.step(11)
    assert site.rows("select shown_count from outbox order by message_id") == [
        (0,),
        (1,),
    ]
    site.arrive(site.event("anna", "click", 12, properties=named))
    site.step(13)
    assert contents(site) == ["similar_items"]


def test_what_is_known_of_decisions_goes_with_their_messages_and_visitors(
    site: TriggerSite,
) -> None:
    [banner, _] = pending_blocks(site.settings, ANNA, site.clock())
    properties = {"message_id": banner.message_id}
    site.arrive(site.event("anna", "decision", 5, properties=properties))
    site.step(6)
    assert len(site.rows("select * from decided")) == 1
    suppress(site.settings, "visitor", ANNA, "erased", NOON)
    site.step(7)
    assert site.rows("select * from decided") == []


def test_consent_withdrawn_hides_them(site: TriggerSite) -> None:
    site.arrive(site.event("anna", "consent", 5, consent_personalization=False))
    site.step(6)
    assert contents(site) == []


def test_a_suppressed_visitor_has_none_from_the_next_read_on(site: TriggerSite) -> None:
    blocks = PendingBlocks(site.settings)
    assert len(blocks.of(ANNA, site.clock())) == 2
    suppress(site.settings, "visitor", ANNA, "opted_out", NOON)
    assert blocks.of(ANNA, site.clock()) == []
    blocks.close()


def test_a_reader_that_is_held_sees_what_fires_later(tmp_path: Path) -> None:
    site = trigger_site(tmp_path / "home")
    blocks = PendingBlocks(site.settings)
    assert blocks.of(ANNA, NOON) == []
    site.define(
        "triggers: { a: { on: { event: search }, "
        "deliver: [{ to: banner, content: x }] } }"
    )
    for count in (1, 2):
        site.arrive(site.event("anna", "search", count))
        site.step(count + 1)
        assert len(blocks.of(ANNA, site.clock())) == count
    blocks.close()

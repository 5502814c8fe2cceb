"""Frequency caps: how often is enough, and what is shown then."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from nearline.decisions.caps import Cap, Capped, Shown, parse_period
from nearline.decisions.deciding import Choice, choose, choose_all
from nearline.decisions.knowing import Consents, Known, Page, know_group
from nearline.decisions.policies import PolicySet
from nearline.decisions.variants import groups_of
from tests.unit.decisions.small_page import NO_LISTS, NOON, known_of, policies_of

SHOP = """
version: 1
slots:
  banner: { kind: block, policies: [sale, hello], default: { block: plain } }
  top:
    kind: block
    policies: [sale]
    default: { block: plain }
    caps: [{ shows: 3, per: 1 day }]
blocks:
  plain: { kind: message }
  red: { kind: banner, caps: [{ shows: 1, per: 1 hour }] }
  blue: { kind: banner }
  hi: { kind: message }
policies:
  sale: { blocks: [red, blue], caps: [{ shows: 2, per: 7 days }] }
  hello: { blocks: [hi] }
"""
HOUR = 3_600_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> PolicySet:
    return policies_of(tmp_path_factory.mktemp("policies"), SHOP)


def seen(**hours_ago: list[float]) -> Known:
    """Somebody to whom things were shown so long ago, by `kind_name`."""
    known = known_of()
    moments = {
        key.replace("_", ":", 1): [known.now_ms - round(ago * HOUR) for ago in given]
        for key, given in hours_ago.items()
    }
    return replace(known, shown=Shown(moments))


def decide(shop: PolicySet, known: Known, slot: str = "banner") -> Choice:
    return choose(shop.slots[slot], shop, known, NO_LISTS, np.random.default_rng(0))


def keys(choice: Choice) -> list[str]:
    return [thing.key for thing in choice.counted]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30 minutes", 30),
        ("1 hour", 60),
        ("12 Hours", 720),
        ("7 days", 10_080),
        ("2 weeks", 20_160),
        ("7d", 10_080),
        ("45m", 45),
    ],
)
def test_a_period_is_written_in_words(text: str, minutes: int) -> None:
    assert parse_period(text) == timedelta(minutes=minutes)


@pytest.mark.parametrize("text", ["7", 7, "a week", "0 days", "91 days", "-1 days", ""])
def test_what_is_no_period_is_told(text: object) -> None:
    with pytest.raises(ValueError, match="has to be"):
        parse_period(text)


def test_a_show_counts_until_the_period_has_passed() -> None:
    thing = Capped("policy", "sale", (Cap(2, timedelta(hours=1)),))
    shown = Shown({"policy:sale": [0, 10]})
    assert shown.reached(thing, HOUR - 1) == thing.caps[0]
    # Exactly an hour later the first is over.
    assert shown.reached(thing, HOUR) is None
    assert shown.plus([thing], HOUR).reached(thing, HOUR) is not None
    assert Shown().reached(thing, 0) is None


def test_each_of_several_caps_holds() -> None:
    caps = (Cap(1, timedelta(hours=1)), Cap(3, timedelta(days=1)))
    thing = Capped("block", "red", caps)
    assert Shown({"block:red": [0]}).reached(thing, 1) == caps[0]
    three = Shown({"block:red": [0, 2 * HOUR, 4 * HOUR]})
    assert three.reached(thing, 6 * HOUR) == caps[1]
    assert three.reached(thing, 25 * HOUR) is None


def test_what_is_shown_uses_up_the_caps_of_policy_and_block(shop: PolicySet) -> None:
    found = decide(shop, seen())
    assert (found.policy, found.chosen) == ("sale", ("red",))
    assert keys(found) == ["policy:sale", "block:red"]
    assert [(step.asked, step.found) for step in found.steps] == [
        ("cap of policy sale", "0 of 2 in 7 days"),
        ("cap of block red", "0 of 1 in 1 hour"),
    ]


def test_a_block_at_its_cap_leaves_the_others(shop: PolicySet) -> None:
    found = decide(shop, seen(policy_sale=[0.5], block_red=[0.5]))
    assert (found.policy, found.chosen, found.at_cap) == ("sale", ("blue",), ("block",))
    assert [name for name, *_ in found.candidates] == ["blue"]
    assert keys(found) == ["policy:sale"]


def test_a_policy_at_its_cap_leaves_the_slot_to_the_next(shop: PolicySet) -> None:
    found = decide(shop, seen(policy_sale=[100, 0.5]))
    assert (found.policy, found.at_cap, found.fallback) == ("hello", ("policy",), None)
    assert found.steps[0].found == "reached: 2 in 7 days"
    assert decide(shop, seen(policy_sale=[169, 0.5])).policy == "sale"


def test_a_slot_at_its_cap_shows_its_default(shop: PolicySet) -> None:
    found = decide(shop, seen(slot_top=[1, 2, 3]), "top")
    assert (found.policy, found.chosen, found.at_cap) == (None, ("plain",), ("slot",))
    # The default takes nothing.
    assert keys(found) == []
    assert keys(decide(shop, seen(slot_top=[1, 2, 25]), "top")) == [
        "slot:top",
        "policy:sale",
        "block:red",
    ]


def test_what_one_slot_shows_counts_for_the_next_of_the_same_page(
    shop: PolicySet,
) -> None:
    slots = [shop.slots["banner"], shop.slots["top"]]
    rng = np.random.default_rng(0)
    first, second = choose_all(slots, shop, seen(policy_sale=[1]), NO_LISTS, rng)
    assert (first.policy, second.policy) == ("sale", None)
    first, second = choose_all(slots, shop, seen(), NO_LISTS, rng)
    assert (first.chosen, second.chosen) == (("red",), ("blue",))


def test_what_cannot_be_counted_is_not_shown_and_the_answer_says_so(
    shop: PolicySet,
) -> None:
    away = replace(known_of(), shown_problem="caps_unavailable")
    found = decide(shop, away)
    assert (found.policy, found.fallback) == ("hello", "caps_unavailable")
    assert found.steps[0].found == "caps_unavailable"
    assert decide(shop, away, "top").chosen == ("plain",)


def test_without_consent_nothing_is_counted_and_nothing_with_a_cap_is_shown(
    shop: PolicySet,
) -> None:
    refused = replace(known_of(), consents=Consents(analytics=True))
    found = decide(shop, refused)
    assert (found.policy, found.fallback) == ("hello", None)
    assert found.steps[0].asked == "consent to personalization"
    assert decide(shop, refused, "top").policy is None


def test_who_is_held_out_uses_up_the_cap_like_everybody_else(tmp_path: Path) -> None:
    shop = policies_of(tmp_path, SHOP.replace("sale: {", "sale: { hold_out: 1.0,"))
    found = decide(shop, seen())
    assert (found.is_held_out, found.chosen) == (True, ("plain",))
    assert keys(found) == ["policy:sale"]
    assert decide(shop, seen(policy_sale=[1, 2])).policy == "hello"


def test_what_is_counted_or_waits_for_one_person_is_in_no_shared_answer(
    tmp_path: Path,
) -> None:
    text = """
version: 1
slots:
  banner:
    kind: block
    policies: [sale, left, loyal]
    default: { block: plain }
    shared: {}
  top:
    kind: block
    policies: [loyal]
    default: { block: plain }
    shared: {}
    caps: [{ shows: 3, per: 1 day }]
blocks: { plain: { kind: message }, red: { kind: banner } }
policies:
  sale: { hold_out: 0.9, blocks: [red], caps: [{ shows: 2, per: 7 days }] }
  left: { hold_out: 0.9, trigger: cart_left, blocks: [red] }
  loyal: { when: segment = 'loyal_customer', blocks: [red] }
"""
    shop = policies_of(tmp_path, text)
    loyal = know_group(NOON, Page(), "loyal_customer", {})
    assert decide(shop, loyal).policy == "loyal"
    assert decide(shop, know_group(NOON, Page(), None, {})).policy is None
    assert decide(shop, loyal, "top").policy is None
    # Nobody is in a group of what nobody is shown.
    visitors = [f"v_{number:08}" for number in range(20)]
    for name in ("banner", "top"):
        assert all(groups_of(shop.slots[name], shop, one) == {} for one in visitors)

"""One slot, one visitor: what is shown, why, and with which odds."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nearline.decisions.deciding import Choice, Lists, choose, show_default
from nearline.decisions.knowing import Consents, Known, Page, know, touches
from nearline.decisions.policies import PolicySet
from tests.unit.decisions.small_page import (
    ALL,
    ANNA,
    NO_LISTS,
    NOON,
    POPULAR,
    fashion_lists,
    features,
    known_of,
    policies_of,
)

SHOP = """
version: 1
slots:
  banner: { kind: block, policies: [cart, welcome], default: { block: plain } }
  carousel: { kind: items, count: 3, policies: [own] }
  pinned:
    kind: items
    count: 2
    policies: [beside]
    default: { items: [kettle, socks, gloves] }
blocks:
  plain: { kind: message, content: { text: Hello }, reason: shown to everybody }
  a: { kind: banner, reason: the first }
  b: { kind: banner, when: cart_item_count > 3, score: cart_value_cents / 100 }
  c: { kind: banner, score: "1" }
  hello: { kind: message, when: first_seen_at is null }
  shelf: { kind: items, list: { count: 2, exploration_share: 0 } }
policies:
  cart: { when: cart_item_count > 0, blocks: [a, b, c], explore: 0.3, reason: your cart }
  welcome: { needs: [personalization], blocks: [hello] }
  own: { list: { exploration_share: 0 }, reason: for you }
  beside: { when: context.item is not null, list: { exploration_share: 0.5 } }
  shelves: { blocks: [shelf] }
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> PolicySet:
    return policies_of(tmp_path_factory.mktemp("policies"), SHOP)


@pytest.fixture(scope="module")
def lists() -> Lists:
    return fashion_lists()


def decide(
    shop: PolicySet, slot: str, known: Known, lists: Lists = NO_LISTS, seed: int = 0
) -> Choice:
    return choose(shop.slots[slot], shop, known, lists, np.random.default_rng(seed))


class TestBlocks:
    def test_the_block_with_the_highest_score_of_those_that_may_be_shown_leads(
        self, shop: PolicySet
    ) -> None:
        seed = 1  # of no exploration
        known = known_of(cart_item_count=4, cart_value_cents=900)
        found = decide(shop, "banner", known, seed=seed)
        # b scores 9, c 1, a has none.
        names, scores, odds = zip(*found.candidates, strict=True)
        assert (names, scores) == (("b", "c", "a"), (9.0, 1.0, 0.0))
        assert odds == pytest.approx((0.8, 0.1, 0.1))
        assert found.chosen == ("b",)
        assert found.probability == pytest.approx(0.8)
        assert not found.is_explored
        # Its condition keeps b out of a small cart.
        assert decide(
            shop, "banner", known_of(cart_item_count=1), seed=seed
        ).chosen == ("c",)

    def test_blocks_are_explored_with_the_odds_that_are_stated(
        self, shop: PolicySet
    ) -> None:
        known = known_of(cart_item_count=1)
        found = [decide(shop, "banner", known, seed=seed) for seed in range(4_000)]
        shares = Counter(choice.chosen[0] for choice in found)
        # Two may be shown: 0.7 + 0.15 the better one, 0.15 the other.
        assert shares["c"] / 4_000 == pytest.approx(0.85, abs=0.02)
        assert {
            (choice.chosen[0], choice.is_explored, round(choice.probability, 9))
            for choice in found
        } == {("c", False, 0.85), ("a", True, 0.15)}

    def test_the_first_policy_that_applies_fills_the_slot(
        self, shop: PolicySet
    ) -> None:
        found = decide(shop, "banner", known_of())
        assert (found.policy, found.chosen) == ("welcome", ("hello",))
        assert [step.found for step in found.steps] == ["not met"]
        by_cart = decide(shop, "banner", known_of(cart_item_count=1))
        assert by_cart.policy == "cart"
        assert by_cart.reason in ("the first", "your cart")

    def test_where_no_policy_applies_it_is_the_default(self, shop: PolicySet) -> None:
        found = decide(shop, "banner", known_of(first_seen_at=NOON))
        assert (found.outcome, found.policy) == ("default", None)
        assert found.reason == "shown to everybody"
        assert found.candidates == (("plain", 0.0, 1.0),)
        assert found.policy_version == shop.slots["banner"].version

    def test_a_block_of_items_has_its_list_made(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        slot = replace(shop.slots["banner"], policies=("shelves",))
        known = known_of(last_viewed_items=["jacket-red"])
        found = choose(slot, shop, known, lists, np.random.default_rng(0))
        assert (found.chosen, len(found.items)) == (("shelf",), 2)
        assert found.outcome == "personal"
        assert found.recommender_version == 3


class TestItems:
    def test_a_known_visitor_gets_a_list_by_what_they_did(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        known = known_of(last_viewed_items=["jacket-red"])
        found = decide(shop, "carousel", known, lists)
        assert (found.outcome, found.fallback, found.reason) == (
            "personal",
            None,
            "for you",
        )
        assert len(found.items) == 3
        assert "jacket-red" not in found.chosen
        assert found.items[0].reason.startswith(("often viewed with", "like", "taken"))
        assert found.recommender_version == 3
        assert found.place_probabilities == (1.0, 1.0, 1.0)

    def test_candidates_carry_scores_and_odds_those_chosen_first(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        known = known_of(page=Page(item="jacket-red"), last_viewed_items=["socks"])
        found = decide(shop, "pinned", known, lists, seed=3)
        names = [name for name, *_ in found.candidates]
        assert tuple(names[:2]) == found.chosen
        assert len(set(names)) == len(names)
        # Two places are filled: the odds of all candidates add up to two.
        assert sum(odds for *_, odds in found.candidates) == pytest.approx(2)
        assert any(score > 0 for _, score, _ in found.candidates[2:])
        assert found.page_item == "jacket-red"

    def test_an_item_that_nobody_knows_is_not_on_record(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        found = decide(shop, "pinned", known_of(page=Page(item="no-such")), lists)
        assert found.page_item is None
        assert len(found.items) == 2

    def test_items_that_are_unavailable_are_in_no_list(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        known = replace(known_of(), unavailable=("kettle", "socks"))
        for held in (lists, NO_LISTS):
            assert not {"kettle", "socks"} & set(
                decide(shop, "carousel", known, held).chosen
            )

    def test_without_a_model_it_is_what_is_bought_most(self, shop: PolicySet) -> None:
        found = decide(shop, "carousel", known_of(last_viewed_items=["jacket-red"]))
        assert (found.outcome, found.fallback) == ("popular", "model_unavailable")
        assert found.chosen == POPULAR[:3]

    def test_a_slots_own_items_come_before_what_is_bought_most(
        self, shop: PolicySet
    ) -> None:
        known = known_of(page=Page(item="kettle"))
        found = show_default(shop.slots["pinned"], shop, known, NO_LISTS, "model_slow")
        assert (found.outcome, found.fallback) == ("default", "model_slow")
        assert found.chosen == ("socks", "gloves")


class TestConsent:
    def test_without_consent_the_list_is_the_same_for_everybody(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        nobody = know(ANNA, NOON, Consents(), Page())
        other = know("v_other0001", NOON, Consents(), Page())
        found = decide(shop, "carousel", nobody, lists)
        assert (found.outcome, found.fallback) == ("general", None)
        assert found.items == decide(shop, "carousel", other, lists, seed=9).items

    def test_nothing_is_explored_that_nothing_can_be_learnt_from(
        self, shop: PolicySet, lists: Lists
    ) -> None:
        unmeasured = Consents(personalization=True)
        known = replace(known_of(page=Page(item="jacket-red")), consents=unmeasured)
        for seed in range(20):
            assert not decide(shop, "pinned", known, lists, seed).is_explored
        blocks = replace(known_of(cart_item_count=1), consents=unmeasured)
        assert decide(shop, "banner", blocks).probability == 1

    def test_a_condition_on_features_is_not_met_where_none_were_read(
        self, shop: PolicySet
    ) -> None:
        # `first_seen_at is null` would be met by values that are all missing.
        away = know(ANNA, NOON, ALL, Page(), None, "store_unavailable")
        found = decide(shop, "banner", away)
        assert (found.outcome, found.fallback) == ("default", "store_unavailable")
        assert found.steps[0].found == "store_unavailable"

    def test_a_policy_that_needs_a_purpose_asks_for_it(self, tmp_path: Path) -> None:
        needs = SHOP.replace("needs: [personalization]", "needs: [marketing]")
        shop = policies_of(tmp_path, needs)
        refused = Consents(analytics=True, personalization=True)
        known = replace(known_of(), consents=refused)
        assert decide(shop, "banner", known).policy is None
        assert decide(shop, "banner", known_of()).policy == "welcome"


class TestArms:
    TEXT = """
version: 1
slots: { banner: { kind: block, policies: [words], default: { block: plain } } }
blocks: { plain: { kind: message }, a: { kind: banner }, b: { kind: banner } }
policies:
  words:
    hold_out: 0.2
    blocks: [a]
    experiment:
      key: words
      arms:
        as_is: { share: 0.4 }
        b: { share: 0.4, blocks: [b] }
        without: { share: 0.2, default: true }
"""

    def shown(self, shop: PolicySet, **fields: object) -> Counter[tuple[object, ...]]:
        counts: Counter[tuple[object, ...]] = Counter()
        for number in range(3_000):
            known = replace(known_of(f"v_{number:08}"), **fields)  # type: ignore[arg-type]
            found = decide(shop, "banner", known)
            counts[found.is_held_out, found.arms.get("words"), *found.chosen] += 1
        return counts

    def test_arms_and_hold_out_get_their_shares_and_what_is_theirs(
        self, tmp_path: Path
    ) -> None:
        counts = self.shown(policies_of(tmp_path, self.TEXT))
        expected = {
            (True, None, "plain"): 0.2,
            (False, "as_is", "a"): 0.8 * 0.4,
            (False, "b", "b"): 0.8 * 0.4,
            (False, "without", "plain"): 0.8 * 0.2,
        }
        assert set(counts) == set(expected)
        for key, share in expected.items():
            assert counts[key] / 3_000 == pytest.approx(share, abs=0.03)

    def test_who_cannot_be_measured_is_in_no_arm(self, tmp_path: Path) -> None:
        counts = self.shown(policies_of(tmp_path, self.TEXT), consents=Consents())
        assert set(counts) == {(False, None, "a")}


def test_history_is_read_from_the_features_with_repeated_views() -> None:
    found = touches(
        {
            "last_viewed_items": ["socks", "jacket-red", "kettle"],
            "last_carted_items": ["jacket-red"],
            "last_bought_items": None,
            "most_viewed_item_id_30m": "jacket-red",
            "most_viewed_item_view_count_30m": 3,
        }
    )
    assert [(touch.kind, touch.item_id) for touch in found] == [
        ("cart", "jacket-red"),
        ("view", "kettle"),
        ("view", "jacket-red"),
        ("view", "jacket-red"),
        ("view", "jacket-red"),
        ("view", "socks"),
    ]


def test_the_age_of_what_is_known_is_that_of_the_newest_value_of_the_past() -> None:
    known = know(ANNA, NOON, ALL, Page(), features(age=2.5))
    assert (known.is_known, known.feature_age_seconds) == (True, 2.5)
    unknown = know(ANNA, NOON, ALL, Page(), features(age=None))
    assert (unknown.is_known, unknown.feature_age_seconds) == (False, None)
    assert unknown.features is not None

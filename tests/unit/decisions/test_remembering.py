"""What decisions remember and read beside features: caps, triggers, learnt files."""

import json
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.decisions.caps import Cap, Capped, Shown
from nearline.decisions.showings import SqliteShowings
from nearline.decisions.vocabulary import PERSON_SERVICE, SERVICE
from nearline.online.reading import EntityFeatures
from nearline.privacy.suppression import suppress
from nearline.triggers.moments import milliseconds
from tests.unit.decisions.asking import CONSENT, Asking, settings_of
from tests.unit.decisions.small_page import (
    ANNA,
    NOON,
    LiteralFeatures,
    features,
    learnt_file,
)
from tests.unit.triggers import trigger_site as triggers
from tests.unit.triggers.trigger_site import TriggerSite

CAPPED = """
version: 1
slots:
  banner: { kind: block, policies: [sale], default: { block: plain } }
  other: { kind: block, policies: [hello], default: { block: plain } }
blocks:
  plain: { kind: message }
  red: { kind: banner }
policies:
  sale: { blocks: [red], caps: [{ shows: 2, per: 7 days }] }
  hello: { blocks: [red] }
"""
LEFT = """
version: 1
slots:
  top: { kind: block, policies: [left, hello], default: { block: plain } }
  beside: { kind: items, policies: [similar], default: { items: [kettle] } }
blocks:
  plain: { kind: message }
  first: { kind: message }
  reminder: { kind: banner, content: { title: Your cart } }
policies:
  left: { trigger: cart_left, blocks: [first, reminder] }
  hello: { blocks: [first] }
  similar: { trigger: cart_left, list: { count: 2 } }
"""
CART_LEFT = """
triggers:
  cart_left:
    on: { event: add_to_cart }
    when: cart.is_filled
    cancelled_by: [purchase]
    expiry: 1h
    deliver:
      - { to: block, slot: top, content: reminder, shows: 2 }
      - { to: block, slot: beside, content: similar_items }
"""
# The site's clock counts from its own noon.
NOW = (NOON - triggers.NOON).total_seconds()
CLARA = triggers.visitor("clara")
REFUSED_MARKETING = {"analytics": True, "personalization": True, "marketing": False}


def home_with(folder: Path, policies: str) -> Path:
    (folder / "home" / "policies").mkdir(parents=True, exist_ok=True)
    (folder / "home" / "policies" / "shop.yml").write_text(policies)
    return folder / "home"


def shown(asking: Asking, slot: str = "banner", who: str = ANNA) -> Any:
    return asking.decide(who, slot, consent=CONSENT)[slot]


class TestCaps:
    def test_a_cap_holds_over_workers_and_restarts(self, tmp_path: Path) -> None:
        settings = settings_of(home_with(tmp_path, CAPPED))
        with (
            Asking(settings, LiteralFeatures()) as one,
            Asking(settings, LiteralFeatures()) as two,
        ):
            found = [shown(worker) for worker in (one, two, one)]
            assert [one["policy"] for one in found] == ["sale", "sale", None]
            assert found[2]["content"]["block"] == "plain"
            assert found[2]["fallback"] is None
            assert one.number("nearline_decision_capped", what="policy") == 1
        with Asking(settings, LiteralFeatures()) as again:
            assert shown(again)["policy"] is None
            assert shown(again, who="v_bert00001")["policy"] == "sale"

    def test_what_another_took_meanwhile_is_not_taken_again(
        self, tmp_path: Path
    ) -> None:
        settings = settings_of(home_with(tmp_path, CAPPED))

        sale = Capped("policy", "sale", (Cap(2, timedelta(days=7)),))

        class Raced(SqliteShowings):
            """Whose visitor is shown the same in another tab, after each read."""

            def read(self, visitor_id: str, after: int) -> Shown:
                found = super().read(visitor_id, after)
                super().take(visitor_id, [sale], milliseconds(NOON))
                return found

        showings = Raced(settings.showings)
        with Asking(settings, LiteralFeatures(), showings=showings) as asking:
            # Of two, one was the other tab's.
            assert [shown(asking)["policy"] for _ in range(2)] == ["sale", None]

    def test_counts_that_are_away_cost_what_is_capped_and_the_answer_says_so(
        self, tmp_path: Path
    ) -> None:
        home = home_with(tmp_path, CAPPED)
        (home / "decision_state").write_text("a file where a folder should be")
        with Asking(settings_of(home), LiteralFeatures()) as asking:
            slots = asking.decide(ANNA, "banner", "other", consent=CONSENT)
            assert slots["banner"]["content"]["block"] == "plain"
            assert slots["banner"]["fallback"] == "caps_unavailable"
            # What asks for no count goes without none.
            assert (slots["other"]["policy"], slots["other"]["fallback"]) == (
                "hello",
                None,
            )
            reason = "caps_unavailable"
            assert asking.number("nearline_decision_fallbacks", reason=reason) == 1

    def test_counts_that_hang_are_waited_for_no_longer_than_their_budget(
        self, tmp_path: Path
    ) -> None:
        may_answer = threading.Event()

        class Hanging(SqliteShowings):
            def take(self, visitor_id: str, things: Sequence[Capped], now: int) -> bool:
                may_answer.wait()
                return True

        settings = settings_of(home_with(tmp_path, CAPPED))
        settings = settings.model_copy(update={"decision_state_seconds": 0.05})
        showings = Hanging(settings.showings)
        # The file is made before it is waited for.
        showings.read(ANNA, 0)
        with Asking(settings, LiteralFeatures(), showings=showings) as asking:
            for _ in range(3):
                assert shown(asking)["fallback"] == "caps_slow"
            may_answer.set()

    def test_without_consent_nothing_is_kept(self, tmp_path: Path) -> None:
        settings = settings_of(home_with(tmp_path, CAPPED))
        with Asking(settings, LiteralFeatures()) as asking:
            for consent in ({}, {"analytics": True}):
                slots = asking.decide(ANNA, "banner", consent=consent)
                assert (slots["banner"]["policy"], slots["banner"]["fallback"]) == (
                    None,
                    None,
                )
        assert not settings.showings.exists()

    def test_who_is_suppressed_is_nobody_from_then_on_and_is_forgotten(
        self, tmp_path: Path
    ) -> None:
        settings = settings_of(home_with(tmp_path, CAPPED))
        store = LiteralFeatures(features())
        with Asking(settings, store) as asking:
            assert shown(asking)["policy"] == "sale"
            suppress(settings, "visitor", ANNA, "erased", NOON)
            asking.wait_for(lambda: shown(asking)["decision_id"] is None)
            assert shown(asking)["policy"] is None
            showings = SqliteShowings(settings.showings)
            asking.wait_for(lambda: not showings.read(ANNA, 0).moments)
            showings.close()
            assert store.reads == [], "no policy here asks for features"

    def test_who_was_suppressed_before_is_nobody_from_the_first_answer_on(
        self, tmp_path: Path
    ) -> None:
        settings = settings_of(home_with(tmp_path, CAPPED))
        suppress(settings, "visitor", ANNA, "opted_out", NOON)
        with Asking(settings, LiteralFeatures()) as asking:
            first = shown(asking)
            assert (first["policy"], first["decision_id"]) == (None, None)


class TestTriggers:
    @pytest.fixture
    def site(self, tmp_path: Path) -> TriggerSite:
        made = triggers.trigger_site(
            home_with(tmp_path, LEFT),
            **{
                name: getattr(settings_of(tmp_path), name)
                for name in (
                    "pseudonym_key",
                    "decision_features_seconds",
                    "decision_ranking_seconds",
                    "decision_state_seconds",
                )
            },
        )
        made.define(CART_LEFT)
        return made

    def fired(self, site: TriggerSite) -> None:
        cart = site.event("clara", "add_to_cart", NOW - 60, item_id="socks")
        site.arrive(cart)
        site.step(NOW)

    def test_a_message_leads_while_it_waits(self, site: TriggerSite) -> None:
        with Asking(site.settings, LiteralFeatures()) as asking:
            before = shown(asking, "top", CLARA)
            assert (before["policy"], before["trigger"]) == ("hello", None)
            self.fired(site)
            found = shown(asking, "top", CLARA)
            assert (found["policy"], found["trigger"]) == ("left", "cart_left")
            assert found["content"]["block"] == "reminder"
            assert found["answer"] == "personal"
            assert found["message"]["data"]["item_id"] == "socks"
            assert found["message"]["expires_at"] == "2026-03-02T12:59:00.000Z"
            # Nobody else's.
            assert shown(asking, "top")["policy"] == "hello"
            (_, said, _) = [
                event["properties"]
                for event in asking.events()
                if event["event_name"] == "decision"
            ]
        assert said["trigger"] == "cart_left"
        assert said["message_id"] == found["message"]["message_id"]

    def test_what_the_page_says_of_the_decision_counts_for_the_message(
        self, site: TriggerSite
    ) -> None:
        self.fired(site)

        def after(name: str, **properties: Any) -> str | None:
            """Shows it, says so of the decision, and looks again."""
            with Asking(site.settings, LiteralFeatures()) as asking:
                decision = shown(asking, "top", CLARA)["decision_id"]
                assert decision is not None
            said = {"decision_id": decision, **properties}
            site.arrive(site.event("clara", name, NOW, properties=said))
            site.step(NOW)
            with Asking(site.settings, LiteralFeatures()) as asking:
                policy: str = shown(asking, "top", CLARA)["policy"]
                return policy

        assert after("slot_visible") == "left"
        # It may be shown twice.
        assert after("slot_visible") == "hello"

    def test_a_message_that_is_closed_or_overtaken_by_a_purchase_is_over(
        self, site: TriggerSite
    ) -> None:
        self.fired(site)
        with Asking(site.settings, LiteralFeatures()) as asking:
            found = shown(asking, "top", CLARA)
            outcome = {"decision_id": found["decision_id"], "kind": "dismiss"}
            body = {
                "visitor": CLARA,
                "context": {"consent": CONSENT},
                "outcomes": [outcome],
            }
            # The decision is in the log before what came of it.
            asking.wait_for(
                lambda: (
                    shown(asking, "top") is not None and bool(site.logged("decision"))
                )
            )
            assert asking.post("/v1/outcomes", body).status_code == 200
            site.step(NOW)
            assert shown(asking, "top", CLARA)["policy"] == "hello"
            assert shown(asking, "beside", CLARA)["policy"] == "similar"
            site.arrive(site.event("clara", "purchase", NOW))
            site.step(NOW)
            assert shown(asking, "beside", CLARA)["policy"] is None

    def test_triggers_that_are_away_cost_their_policies_and_the_answer_says_so(
        self, site: TriggerSite
    ) -> None:
        state = site.settings.trigger_state / "state.sqlite"
        state.parent.mkdir(exist_ok=True)
        state.write_text("no database at all, whatever its name says")
        with Asking(site.settings, LiteralFeatures()) as asking:
            found = shown(asking, "top", CLARA)
            assert (found["policy"], found["fallback"]) == (
                "hello",
                "triggers_unavailable",
            )
            reason = "triggers_unavailable"
            assert asking.number("nearline_decision_fallbacks", reason=reason) == 1

    def test_consent_that_is_withdrawn_hides_it_at_once(
        self, site: TriggerSite
    ) -> None:
        site.define(
            CART_LEFT.replace("expiry: 1h", "expiry: 1h\n    consent: marketing")
        )
        self.fired(site)
        with Asking(site.settings, LiteralFeatures()) as asking:
            for consent, policy in (
                ({**CONSENT, "marketing": True}, "left"),
                (REFUSED_MARKETING, "hello"),
                ({"analytics": True}, "hello"),
            ):
                slots = asking.decide(CLARA, "top", consent=consent)
                assert slots["top"]["policy"] == policy


class PersonFeatures(LiteralFeatures):
    """A store with the person's values, too."""

    def __init__(self, *served: EntityFeatures, opens: bool = True) -> None:
        super().__init__(*served)
        self.asked: list[str] = []
        self.has_persons = opens

    def read(self, visitor_id: str, service: str = SERVICE) -> EntityFeatures | None:
        self.asked.append(service)
        if service == PERSON_SERVICE:
            if not self.has_persons:
                return None
            return features(visitor_id, cart_item_count=3)
        return super().read(visitor_id, service)


class TestSegmentsAndPersons:
    TEXT = """
version: 1
slots:
  banner: { kind: block, policies: [engaged, device], default: { block: plain } }
  carts: { kind: block, policies: [carts], default: { block: plain } }
  page: { kind: block, policies: [page], default: { block: plain } }
blocks: { plain: { kind: message }, hi: { kind: message } }
policies:
  engaged:
    when: "'engaged_user' in segments and segment <> 'loyal_customer'"
    blocks: [hi]
  device: { when: cart_item_count > 2, blocks: [hi] }
  carts: { when: person.cart_item_count > 2, blocks: [hi] }
  page: { when: context.page_type = 'home', blocks: [hi] }
"""

    def policy_of(self, asking: Asking, *slots: str, **context: Any) -> list[Any]:
        found = asking.decide(ANNA, *slots, consent=CONSENT, **context)
        return [found[slot]["policy"] for slot in slots]

    @pytest.mark.parametrize(
        ("segments", "policy"),
        [
            (["cart_abandoner", "engaged_user"], "engaged"),
            (["loyal_customer", "engaged_user"], None),
            (["cart_abandoner"], None),
            ([], None),
            (None, None),
        ],
    )
    def test_a_condition_on_segments(
        self, tmp_path: Path, segments: list[str] | None, policy: str | None
    ) -> None:
        first = segments[0] if segments else None
        store = LiteralFeatures(features(segments=segments, primary_segment=first))
        settings = settings_of(home_with(tmp_path, self.TEXT))
        with Asking(settings, store) as asking:
            assert self.policy_of(asking, "banner") == [policy]
            assert asking.decide(ANNA, "banner")["banner"]["policy"] is None
            (said,) = [event["properties"] for event in asking.events()]
        assert said["segment"] == first

    def test_only_what_the_policies_in_question_ask_for_is_read_each_once(
        self, tmp_path: Path
    ) -> None:
        store = PersonFeatures(features(cart_item_count=1))
        with Asking(settings_of(home_with(tmp_path, self.TEXT)), store) as asking:
            assert self.policy_of(asking, "page", page_type="home") == ["page"]
            assert store.asked == []
            assert self.policy_of(asking, "carts") == ["carts"]
            assert store.asked == [PERSON_SERVICE]
            store.asked.clear()
            assert self.policy_of(asking, "banner", "carts") == [None, "carts"]
            assert sorted(store.asked) == [PERSON_SERVICE, SERVICE]

    def test_a_service_that_is_away_costs_its_own_conditions_alone(
        self, tmp_path: Path
    ) -> None:
        store = PersonFeatures(features(cart_item_count=3), opens=False)
        with Asking(settings_of(home_with(tmp_path, self.TEXT)), store) as asking:
            found = asking.decide(ANNA, "banner", "carts", consent=CONSENT)
        assert (found["banner"]["policy"], found["banner"]["fallback"]) == (
            "device",
            None,
        )
        assert (found["carts"]["policy"], found["carts"]["fallback"]) == (
            None,
            "store_unavailable",
        )


def test_a_learnt_file_is_taken_up_while_serving(tmp_path: Path) -> None:
    home = home_with(
        tmp_path,
        CAPPED.replace("hello: { blocks: [red] }", "hello: { blocks: [a, b], learnt: "
        "home.json }").replace("red: { kind: banner }", "red: { kind: banner }\n"
        "  a: { kind: banner }\n  b: { kind: banner }"),
    )  # fmt: skip
    with Asking(settings_of(home), LiteralFeatures(features())) as asking:
        first = shown(asking, "other")
        assert (first["content"]["block"], first["learnt"]) == ("a", None)
        assert asking.number("nearline_decision_plain_order") == 1
        best = learnt_file(epsilon=0, slot="other")
        (home / "policies" / "home.json").write_text(json.dumps(best))
        asking.wait_for(lambda: shown(asking, "other")["learnt"] is not None)
        found = shown(asking, "other")
        assert (found["content"]["block"], found["probability"]) == ("b", 1.0)
        (home / "policies" / "home.json").write_text("damaged")
        assert shown(asking, "other")["content"]["block"] == "b"
    last = asking.events()[-1]["properties"]
    assert last["learnt"] == found["learnt"]

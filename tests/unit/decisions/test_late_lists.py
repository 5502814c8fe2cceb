"""A decision whose list takes too long: less is shown, and nobody changes groups."""

import asyncio
import threading

import pytest

from nearline.decisions.decision_events import Sender
from nearline.decisions.knowing import Page
from nearline.decisions.lists import HeldLists
from nearline.decisions.policies import PolicySet
from nearline.decisions.service import Asker, Decider, Decision
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.recommend.requests import Policy as ListRules
from nearline.recommend.requests import Request
from nearline.settings import Settings
from tests.unit.decisions.small_page import (
    ALL,
    POPULAR,
    LiteralFeatures,
    policies_of,
)

TRIAL = """
version: 1
slots:
  banner: { kind: block, policies: [hello], default: { block: plain } }
  carousel: { kind: items, count: 3, policies: [trial] }
blocks:
  plain: { kind: message, content: { text: Hello } }
  back: { kind: message, content: { text: "Welcome back" } }
policies:
  hello: { blocks: [back] }
  trial:
    hold_out: 0.3
    experiment:
      key: lists
      arms: { control: { share: 0.5, default: true }, own: { share: 0.5 } }
"""
VISITORS = [f"v_anna{number:06}" for number in range(24)]


class HangingLists(HeldLists):
    """No list is made until the test is over."""

    freed = threading.Event()

    def recommend(self, request: Request, rules: ListRules, rng: object) -> None:
        self.freed.wait()


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> PolicySet:
    return policies_of(tmp_path_factory.mktemp("policies"), TRIAL)


@pytest.fixture(scope="module")
def answers(
    tmp_path_factory: pytest.TempPathFactory, policies: PolicySet
) -> dict[str, dict[str, Decision]]:
    """What each of the visitors is answered while every list hangs."""
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        decision_features_seconds=20,
        decision_ranking_seconds=0.02,
    )
    decider = Decider(
        settings,
        Pseudonymizer(b""),
        log=None,
        policies=policies,
        features=LiteralFeatures(),
    )
    decider.lists.current = HangingLists(popular=POPULAR)

    async def ask() -> dict[str, dict[str, Decision]]:
        found = {}
        for visitor in VISITORS:
            asker = Asker(visitor, Sender("web"), ALL, Page())
            decided = await decider.decide(asker, ["banner", "carousel"])
            found[visitor] = decided.decisions
        return found

    try:
        return asyncio.run(ask())
    finally:
        HangingLists.freed.set()
        decider.close()


def test_everybody_stays_held_out_or_in_the_arm(
    answers: dict[str, dict[str, Decision]], policies: PolicySet
) -> None:
    policy = policies.policies["trial"]
    assert policy.experiment is not None
    groups = set()
    for visitor, decisions in answers.items():
        choice = decisions["carousel"].choice
        arm = policy.experiment.arm_of(visitor)
        assert arm is not None
        is_held_out = policy.holds_out(visitor)
        assert (choice.policy, choice.is_held_out) == ("trial", is_held_out)
        assert choice.arms == ({} if is_held_out else {"lists": arm.name})
        groups.add("held out" if is_held_out else arm.name)
    assert groups == {"held out", "control", "own"}


def test_what_is_bought_most_is_shown_and_said_to_be_less_only_where_it_is(
    answers: dict[str, dict[str, Decision]],
) -> None:
    for decisions in answers.values():
        choice = decisions["carousel"].choice
        assert (choice.chosen, choice.outcome) == (POPULAR[:3], "popular")
        is_less = choice.arms == {"lists": "own"}
        assert choice.fallback == ("model_slow" if is_less else None)


def test_a_block_beside_a_late_list_is_chosen_all_the_same(
    answers: dict[str, dict[str, Decision]],
) -> None:
    for decisions in answers.values():
        choice = decisions["banner"].choice
        assert choice.block is not None
        assert (choice.block.name, choice.fallback) == ("back", None)

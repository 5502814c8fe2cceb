"""Policies whose experiment is defined in a file of its own."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearline.decisions.deciding import Choice, choose
from nearline.decisions.knowing import Consents
from nearline.decisions.policies import PolicySet
from nearline.decisions.policy_files import PolicyError, load_policies
from nearline.decisions.service import Decider
from nearline.decisions.vocabulary import SERVICE
from nearline.experiments.assignment import bucket_of
from nearline.experiments.decision_record import ExperimentDecision, append_decision
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings
from tests.unit.decisions.small_page import (
    ALL,
    NO_LISTS,
    NOON,
    LiteralFeatures,
    known_of,
)
from tests.unit.experiments.written_experiments import APRIL, MARCH, phase, written

SHOP = """
version: 1
slots: { top: { kind: block, policies: [words], default: { block: usual } } }
blocks:
  usual: { kind: message }
  as_is: { kind: message }
  new: { kind: message }
policies:
  words:
    blocks: [as_is]
    experiment:
      key: banner
      arms: { plain: {}, banner: { blocks: [new] } }
"""
VISITORS = [f"v_{number:016x}" for number in range(400)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "home" / "policies").mkdir(parents=True)
    (tmp_path / "home" / "policies" / "shop.yml").write_text(SHOP)
    return Settings(home=tmp_path / "home", experiments=tmp_path / "experiments")


def files(settings: Settings) -> Path:
    return settings.experiment_folder


def shown(policies: PolicySet, visitor: str, **known: Any) -> Choice:
    slot = policies.slots["top"]
    rng = np.random.default_rng(0)
    return choose(slot, policies, known_of(visitor, **known), NO_LISTS, rng)


def shares(policies: PolicySet) -> Counter[tuple[str, bool]]:
    """How many visitors were shown which block, and whether they are units."""
    found = (shown(policies, visitor) for visitor in VISITORS)
    return Counter((one.chosen[0], bool(one.arms)) for one in found)


def decide(settings: Settings, variant: str | None) -> None:
    append_decision(
        files(settings),
        ExperimentDecision("banner", NOON, variant, "as hoped", "shop", "0" * 12),
    )


def test_the_arm_is_that_of_the_definitions_bucket(settings: Settings) -> None:
    written(files(settings), salt="of.its.own")
    policies = load_policies(settings, NOON)
    for visitor in VISITORS:
        found = shown(policies, visitor)
        is_plain = bucket_of("of.its.own", visitor) < 5_000
        assert found.chosen == (("as_is",) if is_plain else ("new",))
        assert found.arms == {"banner": "plain" if is_plain else "banner"}


def test_outside_its_time_the_policy_is_as_written(settings: Settings) -> None:
    written(files(settings), starts_at=NOON, stops_at=APRIL)
    before = load_policies(settings, MARCH)
    assert (set(shares(before)), before.changes_at) == ({("as_is", False)}, NOON)
    during = load_policies(settings, NOON)
    assert set(shares(during)) == {("as_is", True), ("new", True)}
    assert during.changes_at == APRIL
    assert set(shares(load_policies(settings, APRIL))) == {("as_is", False)}


def test_what_was_decided_is_shown_to_everybody_and_measured_no_more(
    settings: Settings,
) -> None:
    written(files(settings))
    decide(settings, "banner")
    policies = load_policies(settings, NOON)
    assert set(shares(policies)) == {("new", False)}
    # It is for those, too, who could not have been in the experiment.
    assert shown(policies, VISITORS[0], consents=Consents()).chosen == ("new",)
    decide(settings, None)
    assert set(shares(load_policies(settings, NOON))) == {("as_is", False)}


def test_shared_answers_that_were_kept_are_of_how_it_stood(settings: Settings) -> None:
    written(files(settings), starts_at=NOON, stops_at=APRIL)
    versions = [
        load_policies(settings, moment).version for moment in (MARCH, NOON, APRIL)
    ]
    assert load_policies(settings, APRIL).version == versions[-1]
    decide(settings, "banner")
    versions.append(load_policies(settings, APRIL).version)
    assert len(set(versions)) == 4


def test_only_whom_the_definition_lets_in_has_an_arm(settings: Settings) -> None:
    written(
        files(settings),
        eligibility={"consents": ["marketing"], "segments": ["engaged_buyer"]},
    )
    policies = load_policies(settings, NOON)
    assert policies.needs_of(policies.slots["top"]).services == {SERVICE}
    assert shown(policies, VISITORS[0], segments=["engaged_buyer", "x"]).arms
    assert not shown(policies, VISITORS[0], segments=["x"]).arms
    assert not shown(policies, VISITORS[0]).arms
    silent = Consents(analytics=True, personalization=True)
    buyer = {"segments": ["engaged_buyer"]}
    assert not shown(policies, VISITORS[0], consents=silent, **buyer).arms
    assert shown(policies, VISITORS[0], consents=ALL, **buyer).arms


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"key": "other"},
            "policies.words.experiment.key: is of no defined experiment",
        ),
        ({"unit": "person"}, "policies.words.experiment.key: is assigned by person"),
        (
            {"variants": {"plain": 0.5, "red": 0.5}},
            "policies.words.experiment.arms: have to be the variants of its definition: "
            "plain, red",
        ),
        (
            {"variants": {"plain": 0.5, "banner": 0.4}},
            "banner.yml: variants: shares add up to 0.9",
        ),
    ],
    ids=["key", "unit", "arms", "definition"],
)
def test_a_definition_that_does_not_fit_is_refused(
    settings: Settings, changes: dict[str, Any], problem: str
) -> None:
    written(files(settings), **changes)
    with pytest.raises(PolicyError) as refused:
        load_policies(settings, NOON)
    assert problem in str(refused.value)


def test_what_was_served_cannot_be_changed_afterwards(settings: Settings) -> None:
    written(files(settings))
    load_policies(settings, NOON)
    written(files(settings), salt="other")
    later: datetime = NOON + timedelta(hours=1)
    with pytest.raises(PolicyError, match=r"banner\.yml: salt: was"):
        load_policies(settings, later)
    written(files(settings), phases=[phase(later, salt="other")])
    assert load_policies(settings, later).policies["words"].experiment is not None


def test_a_service_follows_the_clock_and_the_decisions(settings: Settings) -> None:
    written(files(settings), starts_at=NOON, stops_at=APRIL)
    moment = [MARCH]
    decider = Decider(
        settings,
        load_pseudonymizer(settings),
        None,
        clock=lambda: moment[0],
        features=LiteralFeatures(),
    )
    seen = []
    for now in (MARCH, NOON, APRIL):
        moment[0] = now
        decider.refresh()
        seen.append(sum(is_unit for _, is_unit in shares(decider.policies)))
    decide(settings, "banner")
    decider.refresh()
    seen.append(set(shares(decider.policies)))
    # What cannot be read leaves what was there before.
    written(files(settings), variants={"plain": 1.0})
    decider.refresh()
    assert set(shares(decider.policies)) == {("new", False)}
    decider.close()
    assert seen == [0, 2, 0, {("new", False)}]


def test_arms_with_shares_need_no_definition(settings: Settings) -> None:
    text = SHOP.replace("plain: {}", "plain: { share: 0.5 }")
    policy = settings.policy_folder / "shop.yml"
    policy.write_text(text)
    with pytest.raises(PolicyError, match=r"arms\.banner\.share: is missing"):
        load_policies(settings, NOON)
    policy.write_text(text.replace("{ blocks", "{ share: 0.5, blocks"))
    assert set(shares(load_policies(settings, NOON))) == {
        ("as_is", True),
        ("new", True),
    }

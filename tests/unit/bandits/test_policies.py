"""Odds of policies, and what those that learn know."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from nearline.bandits.logged import Situations, logged_decisions
from nearline.bandits.outcomes import Outcomes, Tally, count_outcomes
from nearline.bandits.policies import (
    Always,
    EpsilonGreedy,
    Policy,
    Table,
    Thompson,
    Uniform,
    odds_among,
)
from nearline.bandits.policy_files import Learnt, read_policy_file, write_learnt
from nearline.bandits.thompson import best_arm_odds
from nearline.errors import InputError

# Of three things, the second visitor may not be shown the last.
SITUATIONS = Situations(
    actions=("a", "b", "c"),
    contexts=("loyal", "new"),
    context=np.array([0, 1]),
    eligible=np.array([[True, True, True], [True, True, False]]),
)
KNOWN = Outcomes(
    {
        ("loyal", "a"): Tally(100, 10.0),
        ("loyal", "b"): Tally(100, 30.0),
        ("loyal", "c"): Tally(100, 30.0),
        ("new", "a"): Tally(50, 20.0),
        ("new", "b"): Tally(50, 1.0),
        ("new", "c"): Tally(50, 50.0),
    }
)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (Uniform(), [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]),
        (Always("b"), [[0, 1, 0], [0, 1, 0]]),
        # Where it cannot be chosen, all that can be are alike.
        (Always("c"), [[0, 0, 1], [0.5, 0.5, 0]]),
        (
            Table({"loyal": {"a": 0.6, "c": 0.4}, "*": {"a": 0.3, "b": 0.3, "c": 0.4}}),
            [[0.6, 0, 0.4], [0.5, 0.5, 0]],
        ),
        # Two best share; what cannot be chosen is no best.
        (EpsilonGreedy(KNOWN, 0.3), [[0.1, 0.45, 0.45], [0.85, 0.15, 0]]),
        (EpsilonGreedy(Outcomes({}), 0.3), [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]),
        (Thompson(Outcomes({})), [[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]),
    ],
    ids=[
        "uniform",
        "always",
        "always_else",
        "table",
        "greedy",
        "blank",
        "blank_thompson",
    ],
)
def test_odds_are_those_worked_out_by_hand(
    policy: Policy, expected: list[list[float]]
) -> None:
    assert policy.odds(SITUATIONS).values == pytest.approx(np.array(expected), abs=1e-3)


def test_thompsons_odds_are_those_of_drawing() -> None:
    """A hundred thousand draws of each posterior."""
    found = Thompson(KNOWN).odds(SITUATIONS)
    rng = np.random.default_rng(5)
    drawn = np.column_stack(
        [
            rng.beta(1 + clicks, 1 + 100 - clicks, 100_000)
            for clicks in (10.0, 30.0, 30.0)
        ]
    )
    shares = np.bincount(drawn.argmax(axis=1), minlength=3) / len(drawn)

    assert found.values[0] == pytest.approx(shares, abs=0.007 + found.error)
    assert found.values.sum(axis=1) == pytest.approx([1, 1])
    assert found.values[1, 2] == 0
    assert 0 < found.error < 0.002


def test_a_share_given_to_chance_is_the_least_of_what_can_be_chosen() -> None:
    odds = Thompson(KNOWN, epsilon=0.3).odds(SITUATIONS).values
    assert odds[0].min() >= 0.1
    assert odds[1, 1] == pytest.approx(0.15, abs=1e-3)


@pytest.mark.parametrize(
    ("successes", "failures", "first"),
    [
        # Of a uniform draw and the larger of two: two to one.
        ((1.0, 2.0), (1.0, 1.0), 1 / 3),
        # The larger of three against the larger of two: 3 to 2.
        ((3.0, 2.0), (1.0, 1.0), 3 / 5),
        ((400.0, 400.0), (600.0, 600.0), 1 / 2),
        # As good as certain, and as good as never.
        ((1.0, 1.0), (1.0, 1e6), 1.0),
    ],
)
def test_odds_of_being_the_largest_are_within_the_stated_error_of_the_exact_ones(
    successes: tuple[float, float], failures: tuple[float, float], first: float
) -> None:
    odds, error = best_arm_odds(
        np.array([successes]), np.array([failures]), np.ones((1, 2), dtype=bool)
    )
    assert abs(odds[0, 0] - first) <= error + 1e-6
    assert error < 0.002


def test_a_single_situation_has_the_same_odds() -> None:
    policy = EpsilonGreedy(KNOWN, 0.3)
    assert odds_among(policy, ["b", "a"], "new") == pytest.approx(
        {"a": 0.85, "b": 0.15}
    )
    # Of a context that it never met, it knows nothing.
    assert odds_among(policy, ["b", "a"], "other") == {"a": 0.5, "b": 0.5}
    with pytest.raises(InputError, match="no candidate"):
        odds_among(policy, [])


def test_what_is_learnt_in_parts_is_what_is_learnt_at_once() -> None:
    rows = [("a", 1.0, "new"), ("b", 0.0, "new"), ("a", 0.0, "old"), ("a", 1.0, "new")]
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)

    def learnt(part: list[tuple[str, float, str]], until: datetime) -> Outcomes:
        choices, rewards, contexts = zip(*part, strict=True)
        decisions = logged_decisions(
            choices, np.full(len(part), 0.5), np.array(rewards), contexts=contexts
        )
        return count_outcomes(decisions, until)

    at_once = learnt(rows, late)

    assert learnt(rows[:2], early) + learnt(rows[2:], late) == at_once
    assert at_once.tallies == {
        ("new", "a"): Tally(2, 2.0),
        ("new", "b"): Tally(1, 0.0),
        ("old", "a"): Tally(1, 0.0),
    }
    assert at_once.learnt_until == late


def test_a_learnt_policy_survives_its_file(tmp_path: Path) -> None:
    until = datetime(2026, 1, 2, tzinfo=UTC)
    learnt = Learnt(
        "thompson", 0.02, "home", "clicked", "segment", Outcomes(KNOWN.tallies, until)
    )
    write_learnt(learnt, tmp_path / "home.json")

    assert read_policy_file(tmp_path / "home.json") == learnt
    assert Learnt.from_json(json.loads(json.dumps(learnt.as_json()))) == learnt
    assert isinstance(learnt.policy(), Thompson)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is no JSON"),
        ('{"kind": "clairvoyant"}', "has no kind of policy"),
        ("[]", "has no kind of policy"),
        ('{"kind": "table", "odds": {"*": {"a": 0.7}}}', "not of the form"),
        ('{"kind": "table", "odds": {"*": {"a": -1, "b": 2}}}', "not of the form"),
        ('{"kind": "thompson", "epsilon": 2}', "not of the form"),
    ],
    ids=["broken", "unknown", "list", "short", "negative", "incomplete"],
)
def test_a_file_that_holds_no_policy_is_refused(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "policy.json"
    path.write_text(content)
    with pytest.raises(InputError, match=says):
        read_policy_file(path)


def test_a_written_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mostly_a.json"
    path.write_text('{"kind": "table", "odds": {"*": {"a": 0.7, "b": 0.3}}}')
    policy = read_policy_file(path)
    assert isinstance(policy, Table)
    assert policy.name == "mostly_a"
    assert policy.odds(SITUATIONS).values[1] == pytest.approx([0.7, 0.3, 0])

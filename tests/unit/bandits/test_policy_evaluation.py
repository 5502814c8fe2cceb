"""When the log can tell what a policy is worth, and when it says that it cannot."""

import numpy as np
import pytest

from nearline.bandits.evaluation import Contender, Problem, evaluate_policy
from nearline.bandits.logged import logged_decisions
from nearline.bandits.policies import Always, Table, Uniform
from nearline.bandits.report import describe, verdict
from nearline.errors import InputError
from tests.logged_slot import LOGGED_ODDS, log_decisions, true_value


def test_the_logged_policy_judged_on_its_own_log_is_what_it_gave() -> None:
    decisions = log_decisions(np.random.default_rng(1), 200)
    own = Table(
        {
            "loyal": dict(zip("abcd", LOGGED_ODDS[0], strict=True)),
            "new": dict(zip("abcd", LOGGED_ODDS[1], strict=True)),
        }
    )
    found = evaluate_policy(decisions, Contender.ready(own))

    assert found.problem is None
    assert found.values[2].value == pytest.approx(found.logged)
    assert found.values[2].change.value == pytest.approx(0)
    assert verdict(found, "clicked").startswith(
        "cannot conclude: table changes clicked"
    )
    assert found.diagnostics is not None
    assert found.diagnostics.effective_count == pytest.approx(len(decisions))
    assert found.diagnostics.mean_weight == pytest.approx(1)


def test_a_better_policy_is_said_to_be_better_with_its_interval() -> None:
    decisions = log_decisions(np.random.default_rng(2), 2_000)
    better = Table({"loyal": {"a": 1.0}, "new": {"c": 1.0}})
    found = evaluate_policy(decisions, Contender.ready(better))

    assert found.problem is None
    assert found.headline is not None
    change = found.headline.change
    gain = true_value(better) - float(decisions.reward.mean())
    assert change.ci_low is not None
    assert change.ci_high is not None
    assert 0.05 < change.ci_low < gain < change.ci_high
    assert verdict(found, "clicked").startswith("table raises clicked a decision by 0.")
    assert "(95% interval)" in verdict(found, "clicked")
    assert "doubly robust" in "\n".join(describe(found, "home", "clicked"))


def test_clipping_is_told_and_lowers_what_inverse_propensity_finds() -> None:
    decisions = log_decisions(np.random.default_rng(2), 500)
    better = Contender.ready(Table({"loyal": {"a": 1.0}, "new": {"c": 1.0}}))
    whole = evaluate_policy(decisions, better)
    clipped = evaluate_policy(decisions, better, clip=3.0)

    assert clipped.diagnostics is not None
    assert clipped.diagnostics.clipped_share > 0
    assert clipped.diagnostics.largest_weight == pytest.approx(10)
    assert clipped.values[2].value.value < whole.values[2].value.value  # type: ignore[operator]
    assert "clipped, which adds a bias" in "\n".join(describe(clipped, None, "clicked"))


def test_no_decisions_are_a_result() -> None:
    nothing = logged_decisions([], np.array([]), np.array([]))
    found = evaluate_policy(nothing, Contender.ready(Uniform()))
    assert found.problem is Problem.NO_DECISIONS
    assert describe(found, "home", "clicked") == [
        "cannot conclude: no decision can be used; decide with odds, and wait for outcomes"
    ]


def test_what_was_never_shown_cannot_be_judged() -> None:
    # A slot that always showed the same thing.
    odds = np.array([[1.0, 0, 0, 0], [1.0, 0, 0, 0]])
    decisions = log_decisions(np.random.default_rng(3), 200, odds)
    with_others = logged_decisions(
        ["a"] * len(decisions),
        decisions.probability,
        decisions.reward,
        candidates=[["a", "b"]] * len(decisions),
        units=decisions.unit.tolist(),
    )
    found = evaluate_policy(with_others, Contender.ready(Uniform()))

    assert found.problem is Problem.NEVER_SHOWN
    assert "50% of what uniform would choose was never chosen" in verdict(
        found, "clicked"
    )


def test_too_few_visitors_decisions_or_rewards_are_told_apart() -> None:
    rng = np.random.default_rng(4)
    uniform = Contender.ready(Uniform())

    few = evaluate_policy(log_decisions(rng, 20), uniform)
    rare = log_decisions(rng, 200, np.array([[0.985, 0.005, 0.005, 0.005]] * 2))
    unlikely = evaluate_policy(rare, Contender.ready(Always("a")))
    seldom = evaluate_policy(rare, Contender.ready(Always("d")))
    count = 500
    hardly = evaluate_policy(
        logged_decisions(
            ["a", "b"] * (count // 2),
            np.full(count, 0.5),
            (np.arange(count) < 5).astype(float),
        ),
        uniform,
    )

    assert few.problem is Problem.TOO_FEW_UNITS
    assert seldom.problem is Problem.TOO_FEW_EFFECTIVE
    assert unlikely.problem is None
    assert hardly.problem is Problem.TOO_FEW_OUTCOMES
    assert "are worth 5.0 for uniform" in verdict(hardly, "clicked")


def test_odds_that_were_not_drawn_with_are_found_out() -> None:
    decisions = log_decisions(
        np.random.default_rng(5), 500, told_odds=np.full((2, 4), 0.25)
    )
    found = evaluate_policy(decisions, Contender.ready(Always("a")))

    assert found.problem is Problem.ODDS_DO_NOT_FIT
    assert "find out why choices were not drawn" in verdict(found, "clicked")
    # The estimates are there all the same, for whoever looks for the reason.
    assert len(found.values) == 3


def test_the_bound_for_any_number_is_given_only_where_it_holds() -> None:
    rng = np.random.default_rng(6)
    single = logged_decisions(
        list(rng.choice(["a", "b"], 400)),
        np.full(400, 0.5),
        (rng.random(400) < 0.3).astype(float),
    )
    several = log_decisions(rng, 300)
    uniform = Contender.ready(Uniform())

    bound = evaluate_policy(single, uniform, least_probability=0.5).values[2].bernstein
    assert bound is not None
    assert bound.ci_low is not None
    assert bound.ci_high is not None
    assert bound.ci_low < 0.3 < bound.ci_high
    # Decisions of one visitor are not independent.
    found = evaluate_policy(several, uniform, least_probability=0.1)
    assert {one.bernstein for one in found.values} == {None}
    with pytest.raises(InputError, match=r"below the least of 0\.6"):
        evaluate_policy(single, uniform, least_probability=0.6)


def test_the_same_decisions_and_seed_give_the_same_answer() -> None:
    decisions = log_decisions(np.random.default_rng(7), 100)
    uniform = Contender.ready(Uniform())
    assert evaluate_policy(decisions, uniform) == evaluate_policy(decisions, uniform)


@pytest.mark.parametrize("probability", [0.0, 1.2, np.nan])
def test_odds_that_are_none_are_refused(probability: float) -> None:
    with pytest.raises(InputError, match="probability is not above 0 and up to 1 in 1"):
        logged_decisions(["a", "b"], np.array([0.5, probability]), np.array([0.0, 1.0]))


def test_too_many_things_to_choose_from_are_refused() -> None:
    count = 8_000
    with pytest.raises(InputError, match="judge a slot with fewer candidates"):
        logged_decisions(
            [f"sku_{number}" for number in range(count)],
            np.full(count, 0.5),
            np.zeros(count),
            candidates=[[f"sku_{number}"] for number in range(count)],
        )

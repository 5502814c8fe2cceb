"""The conclusion: one rule, health first, and a sentence with its interval."""

from dataclasses import replace

import pytest

from nearline.experiments.analysis import Answer, ArmResult, Check, Question, Status
from nearline.experiments.conclusion import Decision, conclude
from nearline.experiments.findings import Finding
from nearline.experiments.guardrails import GuardrailStatus
from nearline.experiments.inference import FixedHorizon
from nearline.experiments.sequential import AlwaysValid, GroupSequential

HEALTHY = Check("sample_ratio", Status.OK, "as planned", 0.5)
ILL = Check("sample_ratio", Status.ALARM, "the arms' sizes are not as planned", 1e-9)


def result(low: float, high: float, p_value: float, **others: object) -> ArmResult:
    """Relative bounds in percent; control's mean is 100, so the absolute ones too."""
    middle = (low + high) / 2
    bare = ArmResult(
        "revenue", "b", "mean", "welch_t", 5000, 5000,
        mean=100 + middle, control_mean=100.0,
        estimate=middle, ci_low=low, ci_high=high,
        relative=middle / 100, relative_ci_low=low / 100, relative_ci_high=high / 100,
        p_value=p_value, adjusted_p_value=p_value, standard_error=(high - low) / 3.92,
    )  # fmt: skip
    return replace(bare, **others)  # type: ignore[arg-type]


WON, LOST, OPEN = result(1, 3, 0.001), result(-3, -1, 0.001), result(-1, 2, 0.4)


def conclusion_of(
    *results: ArmResult, question: Question | None = None, check: Check = HEALTHY
) -> tuple[Decision, str]:
    answer = Answer("a", {"a": 5000, "b": 5000}, 0.5, "revenue", results, (check,), ())
    found = conclude(answer, question or Question())
    assert found.sentence.startswith(found.decision.value)
    return found.decision, found.sentence


def test_a_better_primary_metric_ships() -> None:
    assert conclusion_of(WON) == (
        Decision.SHIP,
        "ship b: it makes revenue better, +1.0 % to +3.0 % (95 % interval)",
    )


def test_a_worse_one_stops() -> None:
    assert conclusion_of(LOST) == (
        Decision.STOP,
        "stop b: it makes revenue worse, -3.0 % to -1.0 % (95 % interval)",
    )


def test_lower_may_be_better() -> None:
    question = Question(lower_is_better=frozenset({"revenue"}))
    assert conclusion_of(LOST, question=question)[0] is Decision.SHIP
    assert conclusion_of(WON, question=question)[0] is Decision.STOP


@pytest.mark.parametrize("one", [WON, LOST, OPEN])
def test_an_alarm_withholds_any_verdict_and_a_warning_none(one: ArmResult) -> None:
    decision, sentence = conclusion_of(one, check=ILL)
    assert decision is Decision.CANNOT_CONCLUDE
    assert sentence.startswith("cannot conclude because the arms' sizes are not")
    warned = replace(ILL, status=Status.WARNING)
    assert conclusion_of(one, check=warned) == conclusion_of(one)


def test_a_problem_of_the_metric_comes_before_the_alarm() -> None:
    empty = ArmResult(
        "revenue", "b", "mean", "none", 0, 5000,
        problem=Finding("empty_arm", "arm 'b' has no units", "check the assignment"),
    )  # fmt: skip
    assert conclusion_of(empty, check=ILL) == (
        Decision.CANNOT_CONCLUDE,
        "cannot conclude because arm 'b' has no units; check the assignment",
    )


def test_an_open_result_at_the_only_look_concludes_nothing() -> None:
    decision, sentence = conclusion_of(OPEN)
    assert decision is Decision.CANNOT_CONCLUDE
    assert "-1.0 % to +2.0 %" in sentence
    assert "includes no change" in sentence


@pytest.mark.parametrize(
    ("question", "decision"),
    [
        (Question(horizon=AlwaysValid()), Decision.KEEP_RUNNING),
        (Question(horizon=GroupSequential((0.5,))), Decision.KEEP_RUNNING),
        (Question(horizon=GroupSequential((0.5, 1.0))), Decision.CANNOT_CONCLUDE),
    ],
)
def test_an_open_result_keeps_running_while_looks_are_left(
    question: Question, decision: Decision
) -> None:
    assert conclusion_of(OPEN, question=question)[0] is decision


def test_with_an_effect_that_matters_the_units_still_needed_are_named() -> None:
    decision, sentence = conclusion_of(OPEN, question=Question(least_effect=0.01))
    # By hand: error 3/3.92, so ((1.96 + 0.841621) * 0.765306 / 1)^2 * 5000 = 22,985.
    assert decision is Decision.KEEP_RUNNING
    assert "until the smaller arm has about 23,000 units" in sentence


def test_a_wider_horizon_asks_for_more_units() -> None:
    wide = replace(OPEN, ci_low=-2.0, ci_high=3.0)
    question = Question(least_effect=0.01, horizon=AlwaysValid())
    # By hand: ((2.5 + 0.841621 * 0.765306) / 1)^2 * 5000 = 49,419.
    assert "about 50,000 units" in conclusion_of(wide, question=question)[1]


def test_an_interval_within_what_matters_stops() -> None:
    decision, sentence = conclusion_of(OPEN, question=Question(least_effect=0.05))
    assert decision is Decision.STOP
    assert "smaller than the 5 % that would matter" in sentence


def guardrail(low: float, high: float, status: GuardrailStatus) -> ArmResult:
    return result(low, high, 0.5, metric="latency", guardrail=status)


GUARDED = Question(guardrails={"latency": 0.01})


@pytest.mark.parametrize("one", [WON, OPEN])
def test_a_broken_guardrail_stops_even_a_winner(one: ArmResult) -> None:
    broken = guardrail(-5, -2, GuardrailStatus.BROKEN)
    decision, sentence = conclusion_of(one, broken, question=GUARDED)
    assert decision is Decision.STOP
    assert "guardrail latency is worse" in sentence


def test_a_winner_waits_for_a_guardrail_that_is_unclear() -> None:
    unclear = guardrail(-3, 3, GuardrailStatus.UNCLEAR)
    decision, sentence = conclusion_of(WON, unclear, question=GUARDED)
    assert decision is Decision.KEEP_RUNNING
    assert "until the smaller arm has about" in sentence
    held = guardrail(-0.5, 0.5, GuardrailStatus.HELD)
    assert conclusion_of(WON, held, question=GUARDED)[0] is Decision.SHIP


def test_of_several_winners_the_largest_ships() -> None:
    second = replace(result(2, 5, 0.001), variant="c")
    decision, sentence = conclusion_of(WON, second, replace(LOST, variant="d"))
    assert decision is Decision.SHIP
    assert sentence.startswith("ship c:")


def test_all_losers_are_told() -> None:
    decision, sentence = conclusion_of(LOST, replace(LOST, variant="c"))
    assert decision is Decision.STOP
    assert "stop b" in sentence
    assert "stop c" in sentence


def test_luck_over_many_variants_is_no_winner() -> None:
    lucky = result(0.1, 3, 0.03, adjusted_p_value=0.09)
    decision, sentence = conclusion_of(lucky)
    assert decision is Decision.CANNOT_CONCLUDE
    assert "when all variants are counted" in sentence


def test_few_units_conclude_nothing_however_clear() -> None:
    decision, sentence = conclusion_of(replace(WON, unit_count=12))
    assert decision is Decision.CANNOT_CONCLUDE
    assert "12 units" in sentence


def test_without_a_relative_interval_the_absolute_one_is_told() -> None:
    bare = replace(WON, relative=None, relative_ci_low=None, relative_ci_high=None)
    assert "+1.0 to +3.0 (95 % interval)" in conclusion_of(bare)[1]
    assert (
        "(90 % interval)"
        in conclusion_of(bare, question=Question(horizon=FixedHorizon(0.9)))[1]
    )

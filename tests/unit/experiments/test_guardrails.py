"""Non-inferiority by the relative interval."""

import pytest

from nearline.experiments import Comparison, GuardrailStatus, judge_guardrail
from nearline.experiments.guardrails import Limit


def lift(low: float, high: float) -> Comparison:
    return Comparison("welch_t", relative_ci_low=low, relative_ci_high=high)


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "status"),
    [
        (-0.01, 0.03, False, GuardrailStatus.HELD),
        (-0.015, -0.005, False, GuardrailStatus.HELD),
        (-0.03, 0.01, False, GuardrailStatus.UNCLEAR),
        (-0.06, -0.03, False, GuardrailStatus.BROKEN),
        (-0.03, 0.01, True, GuardrailStatus.HELD),
        (0.01, 0.03, True, GuardrailStatus.UNCLEAR),
        (0.03, 0.06, True, GuardrailStatus.BROKEN),
    ],
)
def test_the_margin_is_held_against_the_worse_end(
    low: float, high: float, lower_is_better: bool, status: GuardrailStatus
) -> None:
    found = judge_guardrail(lift(low, high), 0.02, lower_is_better=lower_is_better)
    assert found is status


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (-3.0, 19.9, GuardrailStatus.HELD),
        (5.0, 25.0, GuardrailStatus.UNCLEAR),
        (20.1, 25.0, GuardrailStatus.BROKEN),
    ],
)
def test_a_limit_is_held_against_the_difference(
    low: float, high: float, status: GuardrailStatus
) -> None:
    # Fifty times as slow, and still nothing that anybody notices.
    found = Comparison(
        "ratio_delta_t",
        ci_low=low,
        ci_high=high,
        relative_ci_low=50.0,
        relative_ci_high=60.0,
    )

    assert judge_guardrail(found, Limit(20, "ms"), lower_is_better=True) is status


def test_without_a_relative_interval_nothing_is_said() -> None:
    assert judge_guardrail(Comparison("welch_t"), 0.02) is GuardrailStatus.UNCLEAR

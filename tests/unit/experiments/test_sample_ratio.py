"""The sample-ratio check against scipy's chi-square as independent oracle."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nearline.errors import InputError
from nearline.experiments import SRM_ALARM_LEVEL, srm_p_value


@settings(deadline=None)
@given(st.lists(st.integers(1, 100_000), min_size=2, max_size=6))
def test_equal_split_agrees_with_scipy(counts: list[int]) -> None:
    arms = {f"arm_{index}": count for index, count in enumerate(counts)}
    assert srm_p_value(arms) == pytest.approx(
        chisquare(counts).pvalue, rel=1e-9, abs=1e-9
    )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 10_000), st.floats(0.1, 10)), min_size=2, max_size=5
    )
)
def test_weighted_split_agrees_with_scipy(arms: list[tuple[int, float]]) -> None:
    counts = [count for count, _ in arms]
    weights = [weight for _, weight in arms]
    expected = [sum(counts) * weight / sum(weights) for weight in weights]
    names = [f"arm_{index}" for index in range(len(arms))]
    assert srm_p_value(
        dict(zip(names, counts, strict=True)), dict(zip(names, weights, strict=True))
    ) == pytest.approx(chisquare(counts, expected).pvalue, rel=1e-9, abs=1e-9)


def test_a_planned_uneven_split_does_not_alarm_and_an_unplanned_one_does() -> None:
    counts = {"control": 9_000, "treatment": 1_000}
    planned = srm_p_value(counts, {"control": 0.9, "treatment": 0.1})
    unplanned = srm_p_value(counts)
    assert planned == pytest.approx(1.0)
    assert unplanned is not None
    assert unplanned < SRM_ALARM_LEVEL


def test_an_arm_with_a_weight_and_no_units_counts_as_empty() -> None:
    p_value = srm_p_value({"control": 500}, {"control": 1, "treatment": 1})
    assert p_value == pytest.approx(chisquare([500, 0]).pvalue)


def test_units_in_an_arm_of_weight_zero_are_impossible() -> None:
    weights = {"a": 1, "b": 1, "off": 0}
    assert srm_p_value({"a": 5, "b": 5, "off": 1}, weights) == 0.0
    assert srm_p_value({"a": 5, "b": 5, "off": 0}, weights) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "counts", [{}, {"control": 10}, {"a": 0, "b": 0}, {"a": -5, "b": 9}]
)
def test_nothing_to_compare_gives_no_p_value(counts: dict[str, int]) -> None:
    assert srm_p_value(counts) is None


@pytest.mark.parametrize(
    "weights",
    [{"a": 1.0}, {"a": 0.0, "b": 0.0}, {"a": -1.0, "b": 2.0}, {"a": 1, "b": "inf"}],
)
def test_unusable_weights_are_refused_by_name(weights: dict[str, float]) -> None:
    with pytest.raises(InputError, match="weight"):
        srm_p_value({"a": 10, "b": 10}, weights)

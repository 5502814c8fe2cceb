"""Quality checks: silent on fair data, loud on a planted fault."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_ind

from nearline.experiments.analysis import Status
from nearline.experiments.checks import (
    check_covariate,
    check_history,
    check_outliers,
    check_ratio_by_group,
    check_trend,
)
from nearline.experiments.estimators import Layout
from nearline.experiments.statistics import JointStatistics
from nearline.experiments.unit_experiment import winsorize


def test_a_covariate_that_differs_before_the_start_is_an_alarm() -> None:
    rng = np.random.default_rng(1)
    arms = {"a": rng.normal(10, 2, 3000), "b": rng.normal(10, 3, 2500)}
    fair = check_covariate("orders_before", arms)
    assert fair.status is Status.OK
    oracle = ttest_ind(arms["a"], arms["b"], equal_var=False)
    assert fair.p_value == pytest.approx(oracle.pvalue, rel=1e-9)
    shifted = {**arms, "b": arms["b"] + 0.4}
    assert check_covariate("orders_before", shifted).status is Status.ALARM
    flat = {"a": np.ones(50), "b": np.ones(50)}
    assert check_covariate("orders_before", flat).status is Status.UNKNOWN


@pytest.mark.parametrize(
    ("found", "count", "status"),
    [
        (0, 3, Status.OK),
        (1, 1, Status.OK),
        (2, 40, Status.OK),
        (6, 40, Status.OK),
        (7, 40, Status.WARNING),
    ],
)
def test_more_differences_than_chance_gives_before_the_start_are_a_warning(
    found: int, count: int, status: Status
) -> None:
    check = check_history("orders", [0.04] * found + [0.06] * (count - found))

    oracle = binomtest(found, count, 0.05, alternative="greater").pvalue
    assert check.p_value == pytest.approx(oracle, rel=1e-9)
    assert check.status is status
    assert f"orders differed before the start in {found} of {count} other" in (
        check.message
    )


def test_a_loss_on_one_device_is_found_and_named() -> None:
    fair = {"phone": {"a": 510, "b": 490}, "desk": {"a": 1000, "b": 1010}}
    assert check_ratio_by_group("device", fair, None).status is Status.OK
    lossy = {**fair, "watch": {"a": 500, "b": 380}}
    check = check_ratio_by_group("device", lossy, None)
    assert check.status is Status.ALARM
    assert check.message.endswith("where device is watch")
    planned = {"phone": {"a": 900, "b": 105}}
    weights = {"a": 0.9, "b": 0.1}
    assert check_ratio_by_group("device", planned, weights).status is Status.OK
    assert check_ratio_by_group("device", {}, None).status is Status.UNKNOWN


def test_a_few_large_units_that_decide_are_a_warning() -> None:
    rng = np.random.default_rng(2)
    arms = {"a": rng.gamma(2, 5, 4000), "b": rng.gamma(2, 5, 4000) + 0.6}
    status = check_outliers("revenue", arms, _capped(arms)).status
    assert status is Status.OK
    arms["a"][:2] = 20_000.0
    assert check_outliers("revenue", arms, _capped(arms)).status is Status.WARNING


def _capped(arms: "dict[str, np.ndarray]") -> "dict[str, np.ndarray]":
    bound = winsorize(np.concatenate(list(arms.values())), 0.999).max()
    return {key: np.minimum(values, bound) for key, values in arms.items()}


def test_an_effect_that_fades_is_a_warning_and_a_steady_one_is_not() -> None:
    rng = np.random.default_rng(3)

    def days(effects: "np.ndarray") -> list[dict[str, JointStatistics]]:
        return [
            {
                "a": JointStatistics.from_columns([rng.normal(10, 2, 300)]),
                "b": JointStatistics.from_columns([rng.normal(10 + e, 2, 300)]),
            }
            for e in effects
        ]

    steady = check_trend("revenue", days(np.full(14, 0.5)), Layout())
    assert steady.status is Status.OK
    fading = check_trend("revenue", days(np.linspace(1.5, 0, 14)), Layout())
    assert fading.status is Status.WARNING
    assert check_trend("revenue", days(np.zeros(2)), Layout()).status is Status.UNKNOWN

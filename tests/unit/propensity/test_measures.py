"""Measures equal scikit-learn's; intervals draw whole visitors."""

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from nearline.propensity.measures import auc_of, calibration_curve, measure


@pytest.mark.parametrize("decimals", [1, 12], ids=["with_ties", "without_ties"])
def test_measures_are_scikit_learns(decimals: int) -> None:
    rng = np.random.default_rng(4)
    scores = np.clip(rng.random(600).round(decimals), 0.01, 0.99)
    labels = rng.random(600) < scores
    found = measure(scores, labels, np.arange(600), seed=1)
    assert {name: estimate.value for name, estimate in found.items()} == {
        "auc": pytest.approx(roc_auc_score(labels, scores)),
        "average_precision": pytest.approx(average_precision_score(labels, scores)),
        "log_loss": pytest.approx(log_loss(labels, scores)),
        "brier": pytest.approx(brier_score_loss(labels, scores)),
    }
    for estimate in found.values():
        assert estimate.ci_low < estimate.value < estimate.ci_high


def test_four_rows_by_hand() -> None:
    # Of the four pairs of a buyer and another, three are in order: 0.9 and 0.6 bought.
    scores = np.array([0.9, 0.7, 0.6, 0.1])
    labels = np.array([True, False, True, False])
    assert auc_of(scores, labels) == 0.75
    found = measure(scores, labels, np.arange(4), seed=1)
    # Precision at the first buyer is 1, at the second 2 of 3.
    assert found["average_precision"].value == pytest.approx((1 + 2 / 3) / 2)
    assert found["brier"].value == pytest.approx((0.01 + 0.49 + 0.16 + 0.01) / 4)


def test_rows_of_one_visitor_that_repeat_narrow_no_interval() -> None:
    rng = np.random.default_rng(4)
    scores = rng.random(100)
    labels = rng.random(100) < scores
    once = measure(scores, labels, np.arange(100), seed=1)["auc"]
    tenfold = measure(
        np.tile(scores, 10), np.tile(labels, 10), np.tile(np.arange(100), 10), seed=1
    )["auc"]
    assert tenfold.value == pytest.approx(once.value)
    assert (tenfold.ci_low, tenfold.ci_high) == pytest.approx(
        (once.ci_low, once.ci_high)
    )


def test_what_one_class_does_not_define_is_none() -> None:
    found = measure(
        np.array([0.2, 0.4]), np.array([False, False]), np.arange(2), seed=1
    )
    assert found["auc"].value is None
    assert found["log_loss"].value is not None


def test_the_calibration_curve_counts_every_row_once() -> None:
    scores = np.linspace(0.05, 0.45, 80)
    labels = np.arange(80) % 4 == 0
    curve = calibration_curve(scores, labels)
    assert [point.row_count for point in curve] == [10] * 8
    assert curve[0].mean_score < curve[-1].mean_score
    assert sum(point.bought_rate * point.row_count for point in curve) == pytest.approx(
        20
    )
    # Wilson's interval of 3 hits in 10, from a table.
    assert curve[0].bought_rate == pytest.approx(0.3)
    assert (curve[0].ci_low, curve[0].ci_high) == pytest.approx(
        (0.108, 0.603), abs=1e-3
    )

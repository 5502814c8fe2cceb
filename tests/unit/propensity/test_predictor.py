"""Plain arrays give what scikit-learn gives, in rows and one by one, and survive a file."""

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from nearline.models.cards import BrokenVersionError
from nearline.propensity.fitting import (
    calibrate,
    fit_logistic,
    fit_net,
    fit_trees,
    fitters,
    trees_of,
)
from nearline.propensity.inputs import Input
from nearline.propensity.predictor import Predictor, read_predictor, write_predictor

NAMES = ("a", "b", "c", "d")
INPUTS = tuple(Input(name, name, "number") for name in NAMES)
AT = datetime(2026, 3, 1, tzinfo=UTC)


def rows(count: int, seed: int, missing_share: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = np.column_stack(
        [
            rng.standard_normal(count),
            rng.exponential(50, count),
            rng.poisson(2, count).astype(float),
            rng.integers(0, 2, count).astype(float),
        ]
    )
    drawn[rng.random(drawn.shape) < missing_share] = np.nan
    return drawn


def labels_of(matrix: np.ndarray, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    odds = np.nan_to_num(matrix[:, 0]) + np.isnan(matrix[:, 1]) + matrix[:, 2] % 2 - 1
    return rng.random(len(matrix)) < 1 / (1 + np.exp(-np.nan_to_num(odds)))


@pytest.mark.parametrize("settings", [{}, {"max_iter": 3}, {"max_leaf_nodes": 2}])
def test_trees_say_what_scikit_learn_says(settings: dict[str, int]) -> None:
    learnt = rows(1_500, 1)
    model = HistGradientBoostingClassifier(random_state=1, **settings)
    model.fit(learnt, labels_of(learnt))
    asked = rows(5_000, 2)
    np.testing.assert_allclose(
        trees_of(model).log_odds(asked), model.decision_function(asked), rtol=1e-12
    )


def test_trees_send_what_was_never_missing_where_scikit_learn_does() -> None:
    learnt = rows(1_000, 1, missing_share=0)
    model = HistGradientBoostingClassifier(random_state=1, max_iter=20)
    model.fit(learnt, labels_of(learnt))
    asked = rows(1_000, 2, missing_share=0.5)
    np.testing.assert_allclose(
        trees_of(model).log_odds(asked), model.decision_function(asked), rtol=1e-12
    )


def test_a_net_says_what_scikit_learn_says_of_the_scaled_rows() -> None:
    learnt = rows(800, 1)
    ours = fit_net(learnt, labels_of(learnt), seed=3)
    theirs = MLPClassifier(hidden_layer_sizes=(24, 12), max_iter=1)
    theirs.fit(ours.scaled(learnt), labels_of(learnt))
    theirs.coefs_, theirs.intercepts_ = list(ours.weights), list(ours.biases)
    asked = rows(500, 2)
    probabilities = Predictor(INPUTS, ours).scores(asked)
    np.testing.assert_allclose(
        probabilities, theirs.predict_proba(ours.scaled(asked))[:, 1], rtol=1e-9
    )


def test_a_logistic_regression_says_what_scikit_learn_says() -> None:
    learnt, asked = rows(800, 1), rows(500, 2)
    ours = fit_logistic(learnt, labels_of(learnt), seed=3)
    theirs = LogisticRegression(C=0.1, max_iter=500)
    theirs.fit(ours.scaled(learnt), labels_of(learnt))
    np.testing.assert_allclose(
        Predictor(INPUTS, ours).scores(asked),
        theirs.predict_proba(ours.scaled(asked))[:, 1],
        rtol=1e-9,
    )


def test_scaled_inputs_have_no_missing_value_and_no_extreme_one() -> None:
    learnt = rows(800, 1)
    learnt[:, 3] = np.nan
    scaled = fit_logistic(learnt, labels_of(learnt), seed=3).scaled(learnt)
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() < 10


@pytest.mark.parametrize("name", sorted(fitters()))
def test_one_visitor_is_scored_as_in_a_batch_and_as_after_a_file(
    tmp_path: Path, name: str
) -> None:
    learnt, asked = rows(800, 1), rows(50, 2)
    scorer = fitters()[name](learnt, labels_of(learnt), 3)
    predictor = Predictor(INPUTS, scorer, slope=0.8, shift=-0.3)
    write_predictor(predictor, tmp_path)
    again = read_predictor(tmp_path)
    batch = predictor.scores(asked)
    np.testing.assert_array_equal(again.scores(asked), batch)
    for row, expected in zip(asked, batch, strict=True):
        values = {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(NAMES, row, strict=True)
        }
        assert again.score(values, AT) == pytest.approx(expected, rel=1e-12)


def test_nothing_known_of_a_visitor_is_a_score_too() -> None:
    learnt = rows(800, 1)
    predictor = Predictor(INPUTS, fit_trees(learnt, labels_of(learnt), 3))
    assert 0 < predictor.score({}, AT) < 1


def test_files_of_another_form_are_refused_and_no_pickle_is_opened(
    tmp_path: Path,
) -> None:
    with pytest.raises(BrokenVersionError):
        read_predictor(tmp_path)
    (tmp_path / "inputs.json").write_text("[]")
    (tmp_path / "predictor.npz").write_bytes(pickle.dumps({"calibration": [1, 0]}))
    with pytest.raises(BrokenVersionError):
        read_predictor(tmp_path)
    np.savez(tmp_path / "predictor.npz", calibration=np.array([1.0, np.nan]))
    with pytest.raises(BrokenVersionError):
        read_predictor(tmp_path)
    (tmp_path / "inputs.json").write_text(json.dumps([{"name": "a"}]))
    with pytest.raises(BrokenVersionError):
        read_predictor(tmp_path)


def test_calibration_finds_the_slope_and_shift_that_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(2)
    odds = rng.normal(0, 2, 40_000)
    labels = rng.random(len(odds)) < 1 / (1 + np.exp(-(0.5 * odds - 1)))
    slope, shift = calibrate(odds, labels)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert shift == pytest.approx(-1, abs=0.05)


def test_calibration_of_scores_without_any_sense_is_the_base_rate() -> None:
    labels = np.arange(400) % 4 == 0
    slope, shift = calibrate(np.where(labels, -1.0, 1.0), labels)
    assert slope == 0
    assert 1 / (1 + np.exp(-shift)) == pytest.approx(0.25, abs=0.01)

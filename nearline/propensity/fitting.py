"""Fits boosted trees, a small neural net and a logistic regression, as plain arrays.

Belongs here: scikit-learn, its settings, and turning what it fits into `predictor`'s
arrays; Platt's calibration. One thread: sums in another order would be another model.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nearline.propensity.predictor import Network, Scorer, Trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.bool_]

TREES, NET, LOGISTIC = "boosted_trees", "neural_net", "logistic_regression"

_TREE_SETTINGS = {
    "max_iter": 80,
    "learning_rate": 0.06,
    "max_leaf_nodes": 15,
    "max_depth": 5,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
    "early_stopping": False,
}
_NET_SETTINGS = {
    "hidden_layer_sizes": (24, 12),
    "alpha": 1.0,
    "learning_rate_init": 0.003,
    "max_iter": 60,
    "n_iter_no_change": 8,
    "early_stopping": True,
    "validation_fraction": 0.15,
}
_SKEW_LIMIT = 1.0
"""Inputs that are more skewed are taken by their logarithm."""

_LEAST_SCALE = 1e-9


Fitter: TypeAlias = "Callable[[Matrix, Labels, int], Scorer]"
"""Fits rows (rows x inputs) to labels with a seed."""


def fitters() -> Mapping[str, Fitter]:
    """By name, in the order of preference among equals."""
    return {TREES: fit_trees, NET: fit_net, LOGISTIC: fit_logistic}


def fit_trees(rows: "Matrix", labels: "Labels", seed: int) -> Trees:
    """Histogram gradient boosting (Ke et al. 2017, LightGBM), NaN as a branch."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(**_TREE_SETTINGS, random_state=seed)
    return trees_of(model.fit(rows, labels))


def trees_of(model: Any) -> Trees:
    """The nodes of a fitted HistGradientBoostingClassifier of two classes.

    scikit-learn keeps them to itself: a test compares its answers with ours.
    """
    parts = [stage[0].nodes for stage in model._predictors]
    starts = np.cumsum([0, *(len(nodes) for nodes in parts)])
    nodes = np.concatenate(parts)
    own = np.arange(len(nodes))
    first = np.repeat(starts[:-1], [len(part) for part in parts])
    is_leaf = nodes["is_leaf"].astype(bool)
    return Trees(
        roots=starts[:-1].astype(np.int32),
        features=np.where(is_leaf, 0, nodes["feature_idx"]).astype(np.int32),
        thresholds=np.where(is_leaf, np.inf, nodes["num_threshold"]),
        left=np.where(is_leaf, own, first + nodes["left"]).astype(np.int32),
        right=np.where(is_leaf, own, first + nodes["right"]).astype(np.int32),
        is_missing_left=nodes["missing_go_to_left"].astype(bool) | is_leaf,
        values=np.where(is_leaf, nodes["value"], 0.0),
        depth=int(nodes["depth"].max()),
        baseline=float(np.ravel(model._baseline_prediction)[0]),
    )


def fit_net(rows: "Matrix", labels: "Labels", seed: int) -> Network:
    """Two small layers (Adam, early stopping on a part of the training rows)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    scaling = _scaling(rows)
    model = MLPClassifier(**_NET_SETTINGS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaling.scaled(rows), labels)
    return _with_layers(scaling, tuple(model.coefs_), tuple(model.intercepts_))


def fit_logistic(rows: "Matrix", labels: "Labels", seed: int) -> Network:
    """L2-regularized logistic regression of the scaled inputs."""
    from sklearn.linear_model import LogisticRegression

    scaling = _scaling(rows)
    model = LogisticRegression(C=0.1, max_iter=500, random_state=seed)
    model.fit(scaling.scaled(rows), labels)
    return _with_layers(scaling, (model.coef_.T,), (model.intercept_,))


def calibrate(log_odds: "Matrix", labels: "Labels") -> tuple[float, float]:
    """Slope and shift of the log odds by maximum likelihood (Platt 1999).

    Two numbers, since some tens of purchases do not tell more. Targets are drawn in by
    Platt's own prior, so that separable rows give no infinite slope.
    """
    from scipy.optimize import minimize

    positives = float(labels.sum())
    negatives = float(len(labels) - positives)
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: "Matrix") -> tuple[float, "Matrix"]:
        odds = parameters[0] * log_odds + parameters[1]
        softplus = np.logaddexp(0, odds)
        gap = np.exp(odds - softplus) - targets
        gradient = np.array([(gap * log_odds).mean(), gap.mean()])
        return float((softplus - targets * odds).mean()), gradient

    found = minimize(
        loss,
        x0=np.array([1.0, 0.0]),
        jac=True,
        method="L-BFGS-B",
        # A slope below none would say the opposite of the model.
        bounds=[(0.0, 10.0), (-20.0, 20.0)],
    )
    return float(found.x[0]), float(found.x[1])


def _scaling(rows: "Matrix") -> Network:
    """A network without layers yet: how inputs are scaled."""
    from scipy.stats import skew

    with warnings.catch_warnings():
        # Of a column that is all missing or all equal: it has no skew.
        warnings.simplefilter("ignore", RuntimeWarning)
        is_logged = np.abs(np.ma.filled(skew(rows, nan_policy="omit"), 0)) > _SKEW_LIMIT
        logged = np.where(is_logged, np.sign(rows) * np.log1p(np.abs(rows)), rows)
        means = np.nan_to_num(np.nanmean(logged, axis=0))
        scales = np.nan_to_num(np.nanstd(logged, axis=0))
    return Network(
        is_logged=is_logged,
        means=means,
        scales=np.where(scales < _LEAST_SCALE, 1.0, scales),
        missing=np.flatnonzero(np.isnan(rows).any(axis=0)).astype(np.int32),
        weights=(),
        biases=(),
    )


def _with_layers(
    scaling: Network, weights: tuple["Matrix", ...], biases: tuple["Matrix", ...]
) -> Network:
    return Network(
        scaling.is_logged,
        scaling.means,
        scaling.scales,
        scaling.missing,
        weights,
        biases,
    )

"""How good probabilities are, with bootstrap intervals over visitors.

Belongs here: AUC, average precision (the area under precision and recall), log loss, Brier
score, the calibration curve. A resample draws whole visitors: rows of one are not
independent. Definitions are scikit-learn's, to which a test compares them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nearline.dashboards.statistics import wilson_interval
from nearline.estimates import Estimate
from nearline.recommend.intervals import percentile_estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.bool_]
    Codes: TypeAlias = NDArray[np.int64]

RESAMPLE_COUNT = 400
MEASURES = ("auc", "average_precision", "log_loss", "brier")
CURVE_BINS = 8

_CLIP = 1e-6
"""A probability of none or of all would cost an infinite loss once it is wrong."""

_MOST_NUMBERS = 4_000_000


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One bin of rows with like scores: what was said, and what came of it."""

    mean_score: float
    bought_rate: float
    ci_low: float
    ci_high: float
    row_count: int


def log_losses(scores: "Matrix", labels: "Labels") -> "Matrix":
    """Log loss per row; scores are kept off 0 and 1 by a millionth."""
    clipped = np.clip(scores, _CLIP, 1 - _CLIP)
    return -np.where(labels, np.log(clipped), np.log1p(-clipped))


def auc_of(scores: "Matrix", labels: "Labels") -> float:
    """Area under the ROC curve: how often a buyer is above another; ties count half."""
    measured = _measure(scores, labels, np.ones((1, len(scores))))
    return float(measured["auc"][0])


def measure(
    scores: "Matrix", labels: "Labels", units: "Codes", seed: int
) -> dict[str, Estimate]:
    """Each of `MEASURES` with its 95 % percentile interval.

    Args:
        units: whom each row belongs to, as codes from 0 on.
    """
    values = _measure(scores, labels, np.ones((1, len(scores))))
    unit_count = int(units.max()) + 1
    rng = np.random.default_rng(seed)
    resampled: dict[str, list[Matrix]] = {name: [] for name in MEASURES}
    block = max(1, min(RESAMPLE_COUNT, _MOST_NUMBERS // len(scores)))
    for start in range(0, RESAMPLE_COUNT, block):
        height = min(block, RESAMPLE_COUNT - start)
        drawn = rng.multinomial(unit_count, np.full(unit_count, 1 / unit_count), height)
        found = _measure(scores, labels, drawn[:, units].astype(np.float64))
        for name in MEASURES:
            resampled[name].append(found[name])
    return {
        name: percentile_estimate(
            float(values[name][0]), np.concatenate(resampled[name])
        )
        for name in MEASURES
    }


def _measure(
    scores: "Matrix", labels: "Labels", weights: "Matrix"
) -> Mapping[str, "Matrix"]:
    """Each measure for each row of `weights` (draws x rows)."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    drawn = weights[:, order]
    # By group of equal scores, the highest first.
    buyers = np.add.reduceat(drawn * labels[order], starts, axis=1)
    others = np.add.reduceat(drawn * ~labels[order], starts, axis=1)
    above, all_others = np.cumsum(buyers, axis=1), others.sum(axis=1)
    all_buyers = above[:, -1]
    total = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        won = (others * (above - buyers / 2)).sum(axis=1)
        precision = np.nan_to_num(above / (above + np.cumsum(others, axis=1)))
        return {
            "auc": won / (all_buyers * all_others),
            "average_precision": (buyers * precision).sum(axis=1) / all_buyers,
            "log_loss": weights @ log_losses(scores, labels) / total,
            "brier": weights @ np.square(scores - labels) / total,
        }


def calibration_curve(scores: "Matrix", labels: "Labels") -> tuple[CurvePoint, ...]:
    """Rows in bins of equal count by score, with Wilson's 95 % interval of each rate."""
    order = np.argsort(scores, kind="stable")
    points = []
    for part in np.array_split(order, min(CURVE_BINS, len(order))):
        count, bought = len(part), int(labels[part].sum())
        interval = wilson_interval(bought, count)
        assert interval is not None
        points.append(
            CurvePoint(
                mean_score=float(scores[part].mean()),
                bought_rate=bought / count,
                ci_low=interval.low,
                ci_high=interval.high,
                row_count=count,
            )
        )
    return tuple(points)

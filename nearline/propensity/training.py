"""From labelled rows to a judged model: split, check, fit, calibrate, choose, measure.

Belongs here: the order of things, and every outcome that is no model (`NotTrained`, with
the reason). Rows are split by time, as a model meets them: it learns from labels that were
known when the held-out rows begin, and is measured on what came after. Calibration and
the choice between models go by scores of visitors that a model had not seen: thirds of the
visitors, each scored by a model of the other two.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.estimates import Estimate
from nearline.models.drift import FeatureDrift, drift_of, reference_of
from nearline.propensity.fitting import Fitter, calibrate, fitters
from nearline.propensity.inputs import Input, encode_table, find_inputs
from nearline.propensity.leakage import find_leaks
from nearline.propensity.measures import (
    calibration_curve,
    log_losses,
    measure,
)
from nearline.propensity.predictor import Predictor, probabilities
from nearline.propensity.targets import LABEL, Target
from nearline.training.labels import MOMENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]
    Labels: TypeAlias = NDArray[np.bool_]
    Codes: TypeAlias = NDArray[np.int64]

BASE_RATE = "base_rate"

HOLDOUT_SHARE = 0.3
FOLD_COUNT = 3
LEAST_ROWS = 300
LEAST_OF_A_CLASS = 20
LEAST_HELD_OUT = 10
"""Rows that are followed by a purchase and rows that are not: learnt from, held out."""

STEADY_LIMIT = 0.1
"""A population stability index that custom calls a moderate shift."""

_IMPORTANCE_ROWS = 2_000
_IMPORTANCE_REPEATS = 3
_KEY = "visitor_id"


@dataclass(frozen=True, slots=True)
class NotTrained:
    """There is no model, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Importance:
    """How much log loss rises when a feature's values are dealt to other rows."""

    feature: str
    rise: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """The rows that no model has seen, for whoever is to be compared on them."""

    table: pa.Table
    labels: "Labels"
    units: "Codes"

    def losses(self, predictor: Predictor) -> "Matrix":
        """Log loss per row of `predictor`, by its own inputs."""
        return log_losses(self._scores(predictor), self.labels)

    def measures(self, predictor: Predictor, seed: int) -> dict[str, Estimate]:
        """What `measure` says of `predictor`, by its own inputs."""
        return measure(self._scores(predictor), self.labels, self.units, seed)

    def _scores(self, predictor: Predictor) -> "Matrix":
        rows = encode_table(self.table, self.table[MOMENT], predictor.inputs)
        return predictor.scores(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The chosen model, what it was chosen from, and how all did on the held-out rows."""

    predictor: Predictor
    chosen: str
    base_rate: float
    metrics: Mapping[str, Mapping[str, Estimate]]
    held_out: HeldOut
    drifts: tuple[FeatureDrift, ...]
    details: Mapping[str, Any]
    row_counts: Mapping[str, int]
    data_from: datetime
    data_up_to: datetime

    def floor_losses(self) -> "Matrix":
        """Losses of the base rate of the rows learnt from, said of everybody."""
        labels = self.held_out.labels
        return log_losses(np.full(len(labels), self.base_rate), labels)


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    learn: "NDArray[np.bool_]"
    between: "NDArray[np.bool_]"
    hold: "NDArray[np.bool_]"
    folds: "Codes"


def train(
    rows: pa.Table, features: Sequence[str], target: Target, seed: int
) -> Trained | NotTrained:
    """Fits and measures a model on a training set.

    Args:
        rows: visitor_id, event_timestamp (UTC, no zone), the label and `features`, a row
            per moment.
    """
    # Limits are those of the libraries that are loaded already.
    import sklearn.ensemble  # noqa: F401
    from threadpoolctl import threadpool_limits

    if rows.num_rows < LEAST_ROWS:
        return NotTrained(
            f"{rows.num_rows:,} labelled moments are too few; "
            f"at least {LEAST_ROWS} are needed"
        )
    table = rows.sort_by([(MOMENT, "ascending"), (_KEY, "ascending")])
    labels = _labels(table)
    parts = _split(table, target)
    problem = _too_few(labels, parts)
    if problem is not None:
        return NotTrained(problem)
    inputs, matrix, left_out = _usable_inputs(table, parts, features)
    if not inputs:
        return NotTrained(
            "no feature has more than one value in the rows to learn from"
        )
    leaks = find_leaks(inputs, matrix[parts.learn], labels[parts.learn])
    if leaks:
        return NotTrained("; ".join(leaks))
    with threadpool_limits(limits=1):
        return _fit_and_measure(table, labels, parts, inputs, matrix, left_out, seed)


def _labels(table: pa.Table) -> "Labels":
    return np.asarray(table[LABEL].to_numpy(), dtype=bool)


def _split(table: pa.Table, target: Target) -> _Parts:
    """By time: the latest rows are held out, and nothing learnt from has its label still
    open when they begin. Visitors fall into thirds by a hash of their pseudonym."""
    moments = table[MOMENT].to_numpy().astype("datetime64[us]")
    start = moments[int(len(moments) * (1 - HOLDOUT_SHARE))]
    is_held = moments >= start
    is_known = moments + np.timedelta64(target.horizon) <= start
    folds = np.array([_fold_of(str(one)) for one in table[_KEY].to_pylist()])
    return _Parts(is_known & ~is_held, ~is_known & ~is_held, is_held, folds)


def _fold_of(visitor: str) -> int:
    digest = hashlib.sha256(f"fold {visitor}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % FOLD_COUNT


def _too_few(labels: "Labels", parts: _Parts) -> str | None:
    for name, part, least in (
        ("to learn from", parts.learn, LEAST_OF_A_CLASS),
        ("held out", parts.hold, LEAST_HELD_OUT),
    ):
        bought = int(labels[part].sum())
        others = int(part.sum()) - bought
        if min(bought, others) < least:
            return (
                f"of the rows {name}, {bought:,} are followed by a purchase and "
                f"{others:,} are not; at least {least} of each are needed"
            )
    for fold in range(FOLD_COUNT):
        seen = labels[parts.learn & (parts.folds != fold)]
        if len(seen) == 0 or seen.all() or not seen.any():
            return "the purchases to learn from are of too few visitors"
    return None


def _usable_inputs(
    table: pa.Table, parts: _Parts, features: Sequence[str]
) -> tuple[tuple[Input, ...], "Matrix", dict[str, str]]:
    """Inputs that vary in the rows learnt from and are steady, all rows by them, and why
    others are left out.

    What moves while it is learnt from (a count of 30 days in a shop that is 20 days old)
    is elsewhere again when it is served. Rows whose label is open still tell of that.
    """
    inputs = find_inputs(table.filter(pa.array(parts.learn)), features)
    left_out = {
        feature: "no number, or too many different words"
        for feature in features
        if feature not in {one.feature for one in inputs}
    }
    matrix = encode_table(table, table[MOMENT], inputs)
    shifts = _shifts(matrix[parts.learn | parts.between], inputs)
    usable = []
    for number, one in enumerate(inputs):
        column = matrix[parts.learn, number]
        known = column[~np.isnan(column)]
        shift = shifts[one.name]
        if len(known) == 0:
            left_out[one.name] = "missing in every row"
        elif len(known) == len(column) and (known == known[0]).all():
            left_out[one.name] = "the same in every row"
        elif shift.index > max(STEADY_LIMIT, shift.by_chance):
            left_out[one.name] = (
                f"not steady while it is learnt (PSI {shift.index:.2f})"
            )
        else:
            usable.append(number)
    chosen = np.ascontiguousarray(matrix[:, usable])
    return tuple(inputs[number] for number in usable), chosen, left_out


def _shifts(matrix: "Matrix", inputs: Sequence[Input]) -> dict[str, FeatureDrift]:
    """Of each input, the later half of the rows against the earlier."""
    half = len(matrix) // 2
    references = reference_of([one.name for one in inputs], matrix[:half])
    return {one.feature: one for one in drift_of(references, matrix[half:])}


def _fit_and_measure(
    table: pa.Table,
    labels: "Labels",
    parts: _Parts,
    inputs: tuple[Input, ...],
    matrix: "Matrix",
    left_out: Mapping[str, str],
    seed: int,
) -> Trained:
    learn = matrix[parts.learn], labels[parts.learn]
    predictors, out_of_fold = {}, {}
    for name, fit in fitters().items():
        odds = _odds_of_unseen(fit, *learn, parts.folds[parts.learn], seed)
        slope, shift = calibrate(odds, learn[1])
        predictors[name] = Predictor(inputs, fit(*learn, seed), slope, shift)
        seen = probabilities(slope * odds + shift)
        out_of_fold[name] = float(log_losses(seen, learn[1]).mean())
    # Of equals the first: trees take what is missing as it is.
    chosen = min(out_of_fold, key=lambda name: round(out_of_fold[name], 6))
    base_rate = float(learn[1].mean())
    held = matrix[parts.hold]
    held_rows = table.filter(pa.array(parts.hold))
    held_out = HeldOut(held_rows, labels[parts.hold], _codes(held_rows[_KEY]))
    scores = {name: one.scores(held) for name, one in predictors.items()}
    scores[BASE_RATE] = np.full(len(held), base_rate)
    metrics = {
        name: measure(found, held_out.labels, held_out.units, seed)
        for name, found in scores.items()
    }
    references = reference_of([one.name for one in inputs], matrix[parts.learn])
    drifts = drift_of(references, held)
    moments = table[MOMENT]
    return Trained(
        predictor=predictors[chosen],
        chosen=chosen,
        base_rate=base_rate,
        metrics=metrics,
        held_out=held_out,
        drifts=drifts,
        details={
            "chosen": chosen,
            "log_loss_of_unseen_visitors": out_of_fold,
            "calibration": {
                "method": "Platt",
                "slope": predictors[chosen].slope,
                "shift": predictors[chosen].shift,
            },
            "base_rate": base_rate,
            "bought_rate_held_out": float(held_out.labels.mean()),
            "calibration_curve": [
                asdict(point)
                for point in calibration_curve(scores[chosen], held_out.labels)
            ],
            "importances": [
                {"feature": one.feature, **asdict(one.rise)}
                for one in _importances(predictors[chosen], held, held_out, seed)
            ],
            "left_out": dict(left_out),
            "drift": [asdict(one) for one in drifts[:10]],
            "held_out_from": _first(moments, parts.hold),
            "learnt_up_to": _last(moments, parts.learn),
        },
        row_counts={
            "learn": int(parts.learn.sum()),
            "label_open": int(parts.between.sum()),
            "held_out": int(parts.hold.sum()),
            "bought": int(labels.sum()),
        },
        data_from=pc.min(moments).as_py(),
        data_up_to=pc.max(moments).as_py(),
    )


def _odds_of_unseen(
    fit: Fitter, rows: "Matrix", labels: "Labels", folds: "Codes", seed: int
) -> "Matrix":
    """Log odds of each row, by a model that saw nothing of the row's visitor."""
    odds = np.zeros(len(rows))
    for fold in range(FOLD_COUNT):
        is_of_fold = folds == fold
        if is_of_fold.any():
            scorer = fit(rows[~is_of_fold], labels[~is_of_fold], seed)
            odds[is_of_fold] = scorer.log_odds(rows[is_of_fold])
    return odds


def _importances(
    predictor: Predictor, rows: "Matrix", held_out: HeldOut, seed: int
) -> list[Importance]:
    """Permutation importance (Breiman 2001) by feature, all its inputs dealt together."""
    from nearline.recommend.intervals import ratio_estimates

    rng = np.random.default_rng(seed)
    taken = np.sort(
        rng.choice(len(rows), min(len(rows), _IMPORTANCE_ROWS), replace=False)
    )
    rows, labels = rows[taken], held_out.labels[taken]
    _, units = np.unique(held_out.units[taken], return_inverse=True)
    counts = np.bincount(units).astype(np.float64)
    before = log_losses(predictor.scores(rows), labels)
    places: dict[str, list[int]] = {}
    for number, one in enumerate(predictor.inputs):
        places.setdefault(one.feature, []).append(number)
    found = []
    for feature, numbers in places.items():
        rise = np.zeros(len(rows))
        for _ in range(_IMPORTANCE_REPEATS):
            dealt = rows.copy()
            dealt[:, numbers] = rows[rng.permutation(len(rows))][:, numbers]
            rise += log_losses(predictor.scores(dealt), labels) - before
        sums = np.bincount(units, weights=rise / _IMPORTANCE_REPEATS).astype(float)
        (estimate,) = ratio_estimates(sums[:, None], counts[:, None], seed)
        found.append(Importance(feature, estimate))
    return sorted(found, key=lambda one: (-(one.rise.value or 0.0), one.feature))


def _codes(column: Any) -> "Codes":
    _, codes = np.unique(np.array(column.to_pylist()), return_inverse=True)
    return codes.astype(np.int64)


def _first(moments: Any, part: "NDArray[np.bool_]") -> str:
    return f"{pc.min(moments.filter(pa.array(part))).as_py().isoformat()}Z"


def _last(moments: Any, part: "NDArray[np.bool_]") -> str:
    return f"{pc.max(moments.filter(pa.array(part))).as_py().isoformat()}Z"

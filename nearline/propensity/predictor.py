"""A fitted model as plain arrays: quick to load and to ask, and nothing to unpickle.

Belongs here: trees, networks (a logistic regression is one without a layer between) and
their calibration, as arrays in one `.npz`, with numpy alone. Fitting is `fitting`; that
these arrays give what scikit-learn gives is tested on random rows.
"""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from nearline.models.cards import BrokenVersionError
from nearline.propensity.inputs import Input, encode_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]
    Arrays: TypeAlias = Mapping[str, "NDArray[Any]"]

ARRAYS_FILE, INPUTS_FILE = "predictor.npz", "inputs.json"

# Rows at a time: a batch walks every tree for each of its rows.
_BATCH_ROWS = 4_096


class Scorer(Protocol):
    """Log odds of rows (rows x inputs)."""

    def log_odds(self, rows: "Matrix") -> "Matrix": ...

    def arrays(self) -> "Arrays": ...


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Boosted trees: nodes of all trees in one array, `roots` their first ones.

    A leaf is its own child, so that all trees can be walked in step.
    """

    roots: "NDArray[np.int32]"
    features: "NDArray[np.int32]"
    thresholds: "Matrix"
    left: "NDArray[np.int32]"
    right: "NDArray[np.int32]"
    is_missing_left: "NDArray[np.bool_]"
    values: "Matrix"
    depth: int
    baseline: float

    def log_odds(self, rows: "Matrix") -> "Matrix":
        if len(rows) > _BATCH_ROWS:
            parts = range(0, len(rows), _BATCH_ROWS)
            return np.concatenate(
                [self.log_odds(rows[at : at + _BATCH_ROWS]) for at in parts]
            )
        nodes = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        at = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            found = rows[at, self.features[nodes]]
            is_left = found <= self.thresholds[nodes]
            is_left |= np.isnan(found) & self.is_missing_left[nodes]
            nodes = np.where(is_left, self.left[nodes], self.right[nodes])
        found_odds: Matrix = self.baseline + self.values[nodes].sum(axis=1)
        return found_odds

    def arrays(self) -> "Arrays":
        return {
            **{
                name: getattr(self, name)
                for name in (
                    "roots", "features", "thresholds", "left", "right",
                    "is_missing_left", "values",
                )
            },
            "depth": np.array(self.depth),
            "baseline": np.array(self.baseline),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Scaled inputs through layers of rectified units; without a layer, logistic.

    Skewed inputs by signed log1p, then z-scores; what is missing is the mean, and said in
    an input of its own where it occurred in training (`missing`, their numbers).
    """

    is_logged: "NDArray[np.bool_]"
    means: "Matrix"
    scales: "Matrix"
    missing: "NDArray[np.int32]"
    weights: tuple["Matrix", ...]
    biases: tuple["Matrix", ...]

    def scaled(self, rows: "Matrix") -> "Matrix":
        logged = np.where(self.is_logged, np.sign(rows) * np.log1p(np.abs(rows)), rows)
        is_missing = np.isnan(rows)
        values = np.where(is_missing, 0.0, (logged - self.means) / self.scales)
        return np.hstack([values, is_missing[:, self.missing].astype(np.float64)])

    def log_odds(self, rows: "Matrix") -> "Matrix":
        found = self.scaled(rows)
        for number, (weights, biases) in enumerate(
            zip(self.weights, self.biases, strict=True)
        ):
            if number:
                found = np.maximum(found, 0)
            found = found @ weights + biases
        return found[:, 0]

    def arrays(self) -> "Arrays":
        return {
            "is_logged": self.is_logged,
            "means": self.means,
            "scales": self.scales,
            "missing": self.missing,
            **{f"weights_{n}": one for n, one in enumerate(self.weights)},
            **{f"biases_{n}": one for n, one in enumerate(self.biases)},
        }


def probabilities(odds: "Matrix") -> "Matrix":
    """Of log odds; both halves by the exponential that cannot overflow."""
    small = np.exp(-np.abs(odds))
    return np.where(odds >= 0, 1 / (1 + small), small / (1 + small))


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A model with its inputs and its calibration: slope and shift of its log odds."""

    inputs: tuple[Input, ...]
    scorer: Scorer
    slope: float = 1.0
    shift: float = 0.0

    def scores(self, rows: "Matrix") -> "Matrix":
        """Probabilities (rows), 0 to 1, of rows x inputs."""
        return probabilities(self.slope * self.scorer.log_odds(rows) + self.shift)

    def score(self, values: Mapping[str, Any], at: datetime) -> float:
        """The probability for one visitor of what an online store serves of it.

        Args:
            values: by feature, None where nothing is known, as `FeatureReader` has them.
            at: when it is asked, with a zone.
        """
        row = encode_values(values, at, self.inputs)
        return float(self.scores(row[None, :])[0])


def write_predictor(predictor: Predictor, folder: Path) -> None:
    """Writes the arrays and the inputs into `folder`."""
    arrays = {**predictor.scorer.arrays(), "calibration": _calibration(predictor)}
    np.savez(folder / ARRAYS_FILE, **arrays)  # type: ignore[arg-type, unused-ignore]
    inputs = [asdict(one) for one in predictor.inputs]
    (folder / INPUTS_FILE).write_text(json.dumps(inputs, indent=1) + "\n")


def _calibration(predictor: Predictor) -> "Matrix":
    return np.array([predictor.slope, predictor.shift])


def read_predictor(folder: Path) -> Predictor:
    """What `write_predictor` wrote; pickled objects are refused.

    Raises:
        BrokenVersionError: the files are of another form than this code's.
    """
    try:
        inputs = json.loads((folder / INPUTS_FILE).read_text())
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as arrays:
            found = dict(arrays)
        slope, shift = found.pop("calibration").tolist()
        scorer = _network(found) if "weights_0" in found else _trees(found)
        if not (math.isfinite(slope) and math.isfinite(shift)):
            raise ValueError("calibration")
        return Predictor(tuple(Input(**one) for one in inputs), scorer, slope, shift)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as problem:
        raise BrokenVersionError(
            f"{folder.parent.name} {folder.name} is no predictor of this code"
        ) from problem


def _trees(found: "dict[str, NDArray[Any]]") -> Trees:
    depth, baseline = int(found.pop("depth")), float(found.pop("baseline"))
    return Trees(**found, depth=depth, baseline=baseline)


def _network(found: "dict[str, NDArray[Any]]") -> Network:
    layers = range(sum(name.startswith("weights_") for name in found))
    return Network(
        is_logged=found["is_logged"],
        means=found["means"],
        scales=found["scales"],
        missing=found["missing"],
        weights=tuple(found[f"weights_{n}"] for n in layers),
        biases=tuple(found[f"biases_{n}"] for n in layers),
    )

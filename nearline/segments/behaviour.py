"""Behaviour of persons as numbers: the columns read and the metrics made of them.

Belongs here: what a cluster may look at, and whether the table given can be used. Not
here: scaling and clustering (`clustering`), sums over events (SQL).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from nearline.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]

BEHAVIOUR_COLUMNS = (
    "session_count",
    "page_view_count",
    "engaged_seconds",
    "item_view_count",
    "add_to_cart_count",
    "purchase_count",
    "revenue_cents",
    "recency_days",
)
"""Numbers per person that the input brings beside `person_id`."""

BEHAVIOUR_METRICS = (
    "session_count",
    "page_views_per_session",
    "engaged_seconds_per_session",
    "add_to_cart_count",
    "purchase_count",
    "revenue_cents",
    "recency_days",
)
"""What clusters are made of, in the order of every matrix and centroid."""

SKEWED_METRICS = frozenset(BEHAVIOUR_METRICS) - {"recency_days"}
"""Long right tails: without a logarithm a few big spenders would be the clusters."""

# Below what tells two behaviours apart, above the rounding of K-Means' own distances.
SCALED_DECIMALS = 6

_PER_SESSION: Mapping[str, str] = {
    "page_views_per_session": "page_view_count",
    "engaged_seconds_per_session": "engaged_seconds",
}


@dataclass(frozen=True, slots=True, eq=False)
class Behaviour:
    """Persons in the order of their ids, and their metrics (persons x metrics)."""

    person_ids: pa.StringArray
    values: "Matrix"


def read_behaviour(table: pa.Table) -> Behaviour | str:
    """Metrics per person, or the reason why this data cannot be clustered.

    Persons are sorted by id, so that the order of rows never reaches a result. A column
    that is missing or of the wrong type is a fault of the caller: InputError.
    """
    import numpy as np
    import pyarrow.compute as pc

    ids: Any = _column(table, "person_id", pa.string())
    columns: dict[str, Any] = {
        name: _column(table, name, pa.float64()) for name in BEHAVIOUR_COLUMNS
    }
    if ids.null_count:
        return f"person_id is null in {ids.null_count} rows; give every row a person"
    if pc.count_distinct(ids).as_py() < len(ids):
        return "person_id repeats; give one row per person"
    order = pc.sort_indices(ids)
    raw = {}
    for name, column in columns.items():
        values = column.take(order).to_numpy().astype(np.float64)
        bad_count = int((~np.isfinite(values)).sum())
        if bad_count:
            return f"{name} is not a number for {bad_count} persons; fill it before"
        raw[name] = values
    sessions = raw["session_count"]
    derived = {
        name: np.divide(
            raw[total],
            sessions,
            out=np.zeros_like(sessions),
            where=sessions > 0,
        )
        for name, total in _PER_SESSION.items()
    }
    values = np.column_stack([(raw | derived)[name] for name in BEHAVIOUR_METRICS])
    return Behaviour(ids.take(order).combine_chunks(), values)


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """Points (persons x metrics) as z-scores, and the mean and spread behind them."""

    points: "Matrix"
    mean: "Matrix"
    spread: "Matrix"


def logged(values: "Matrix") -> "Matrix":
    """Skewed metrics as signed log1p (refunds make revenue negative), others as is."""
    import numpy as np

    is_skewed = np.array([metric in SKEWED_METRICS for metric in BEHAVIOUR_METRICS])
    result: Matrix = np.where(
        is_skewed, np.sign(values) * np.log1p(np.abs(values)), values
    )
    return result


def scaled(values: "Matrix") -> Scaled:
    """Logged metrics as z-scores, so that each counts alike in a distance."""
    from sklearn.preprocessing import (  # type: ignore[import-untyped, unused-ignore]
        StandardScaler,
    )

    scaler = StandardScaler()
    points = scaler.fit_transform(values).round(SCALED_DECIMALS)
    return Scaled(points, scaler.mean_, scaler.scale_)


def _column(table: pa.Table, name: str, kind: pa.DataType) -> Any:
    if name not in table.column_names:
        raise InputError(f"behaviour table lacks column {name}; add it as {kind}")
    column: Any = table.column(name)
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"behaviour column {name} is {column.type}; cast it to {kind}"
        ) from error

"""Features as numbers that a model can take: the same ones in training and live.

Belongs here: which columns a model has, and how a value becomes a number. A moment in a
feature becomes an age (`last_purchase_at` is stored, its age is taken when asked), a list
its length, a word of few a yes or no. NaN is missing. Ids are no inputs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]

MOST_WORDS = 12
"""A text of more different values is an id or a name, not a kind of something."""

LEAST_ROWS_OF_A_WORD = 20

Kind = Literal["number", "age", "length", "word"]


@dataclass(frozen=True, slots=True)
class Input:
    """One number that a model takes, and the feature that it is made of."""

    name: str
    feature: str
    kind: Kind
    word: str = ""


def find_inputs(table: pa.Table, features: Sequence[str]) -> tuple[Input, ...]:
    """The inputs that `features` of `table` can give, in their order."""
    return tuple(
        found for feature in features for found in _inputs_of(table[feature], feature)
    )


def _inputs_of(column: Any, feature: str) -> Iterator[Input]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        yield Input(f"{feature.removesuffix('_at')}_age", feature, "age")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield Input(f"{feature}_length", feature, "length")
    elif (
        pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
    ):
        yield Input(feature, feature, "number")
    elif not feature.endswith(("_id", "_ids", "_id_30m")):
        yield from _words_of(column, feature)


def _words_of(column: Any, feature: str) -> Iterator[Input]:
    counts = pc.value_counts(column.drop_null()).to_pylist()
    if len(counts) > MOST_WORDS:
        return
    for word in sorted(
        one["values"] for one in counts if one["counts"] >= LEAST_ROWS_OF_A_WORD
    ):
        yield Input(f"{feature}={word}", feature, "word", word)


def encode_table(
    table: pa.Table, moments: "pa.ChunkedArray[Any]", inputs: Sequence[Input]
) -> "Matrix":
    """Rows x inputs; a feature that the table does not have is missing in every row.

    Args:
        moments: UTC, without a zone, row for row.
    """
    at = _seconds(moments)
    columns = [
        _encoded(table[one.feature], at, one)
        if one.feature in table.column_names
        else np.full(table.num_rows, np.nan)
        for one in inputs
    ]
    if not columns:
        return np.empty((table.num_rows, 0))
    return _finite(np.column_stack(columns))


def _encoded(column: Any, at: "Matrix", one: Input) -> "Matrix":
    if one.kind == "age":
        return at - _seconds(column)
    if one.kind == "length":
        return _floats(pc.list_value_length(column))
    if one.kind == "word":
        return _floats(pc.cast(pc.equal(column, pa.scalar(one.word)), pa.float64()))
    return _floats(column.cast(pa.float64()))


def encode_values(
    values: Mapping[str, Any], at: datetime, inputs: Sequence[Input]
) -> "Matrix":
    """One row (inputs) of what an online store serves, as `encode_table` has it.

    Args:
        values: by feature; None is missing. Moments are datetimes with a zone or in UTC.
        at: when it is asked, with a zone.
    """
    now = math.floor(at.timestamp())
    row = [_number(values.get(one.feature), now, one) for one in inputs]
    return _finite(np.array(row, dtype=np.float64))


def _finite(values: "Matrix") -> "Matrix":
    """What is no number, infinity included, is missing."""
    return np.where(np.isfinite(values), values, np.nan)


def _number(value: Any, now: int, one: Input) -> float:
    if value is None:
        return math.nan
    if one.kind == "age":
        moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return float(now - math.floor(moment.timestamp()))
    if one.kind == "length":
        return float(len(value))
    if one.kind == "word":
        return float(value == one.word)
    return float(value)


def _seconds(moments: "pa.ChunkedArray[Any]") -> "Matrix":
    """Whole seconds since 1970, which is how exact a moment is online."""
    micros = pc.cast(moments.cast(pa.timestamp("us")), pa.int64())
    return np.floor(_floats(pc.cast(micros, pa.float64())) / 1e6)


def _floats(column: Any) -> "Matrix":
    return np.asarray(
        column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        if isinstance(column, pa.Array)
        else column.cast(pa.float64()).to_numpy(),
        dtype=np.float64,
    )

"""Keys and values are the bytes that Feast would make; Feast is the oracle."""

from datetime import datetime

import pyarrow as pa
import pytest
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Int64List, StringList, Value
from feast.value_type import ValueType

from nearline.errors import NearlineError
from nearline.online.encoding import (
    KEY_VERSION,
    encode_rows,
    key_encoder,
    key_offset,
)


@pytest.mark.parametrize("entity_id", ["v_anna00001", "", "ü", "x" * 300, "a\x00b"])
def test_a_key_is_what_feast_makes_of_it(entity_id: str) -> None:
    key = EntityKey(
        join_keys=["visitor_id"], entity_values=[Value(string_val=entity_id)]
    )
    encoded = key_encoder("visitor_id")(entity_id)
    assert encoded == serialize_entity_key(key, KEY_VERSION)
    assert deserialize_entity_key(encoded, KEY_VERSION) == key
    assert encoded[key_offset("visitor_id") :].decode() == entity_id


def test_values_read_back_as_they_were_and_null_as_no_value() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "entity_id": ["a", "b", "c"],
            "event_us": [1, 2, 3],
            "created_us": [4, 5, 6],
            "fingerprint": [7, 8, 9],
            "count": pa.array([5, None, 5], pa.int64()),
            "seconds": pa.array([0.5, 1.5, None], pa.float64()),
            "last": pa.array([datetime(2026, 3, 2), None, None], pa.timestamp("us")),
            "name": pa.array(["shoes", "", None], pa.string()),
        }
    )
    kinds = {
        "count": ValueType.INT64,
        "seconds": ValueType.DOUBLE,
        "last": ValueType.UNIX_TIMESTAMP,
        "name": ValueType.STRING,
    }
    rows = list(encode_rows(batch, key_encoder("visitor_id"), kinds))
    decoded = [
        {name: Value.FromString(value) for name, value, _ in row.values} for row in rows
    ]
    midnight = 1_772_409_600  # 2026-03-02 00:00:00 UTC, by `date -u -d … +%s`
    assert decoded == [
        {
            "count": Value(int64_val=5),
            "seconds": Value(double_val=0.5),
            "last": Value(unix_timestamp_val=midnight),
            "name": Value(string_val="shoes"),
        },
        {
            "count": Value(),
            "seconds": Value(double_val=1.5),
            "last": Value(),
            "name": Value(string_val=""),
        },
        {
            "count": Value(int64_val=5),
            "seconds": Value(),
            "last": Value(),
            "name": Value(),
        },
    ]
    assert [row.moment for row in rows] == [(1, 4), (2, 5), (3, 6)]
    assert [row.values[0][2] for row in rows] == ["5", None, "5"]


def test_lists_read_back_in_their_order_and_an_empty_one_is_not_null() -> None:
    rows = list(
        encode_rows(
            batch_of(
                pa.array([["b", "a", "b"], None, [], ["b", "a", "b"]]),
                pa.array([[2], [], None, [1, 2]], pa.list_(pa.int64())),
            ),
            key_encoder("visitor_id"),
            {"items": ValueType.STRING_LIST, "hours": ValueType.INT64_LIST},
        )
    )
    decoded = [[Value.FromString(value) for _, value, _ in row.values] for row in rows]
    texts = Value(string_list_val=StringList(val=["b", "a", "b"]))
    assert decoded == [
        [texts, Value(int64_list_val=Int64List(val=[2]))],
        [Value(), Value(int64_list_val=Int64List())],
        [Value(string_list_val=StringList()), Value()],
        [texts, Value(int64_list_val=Int64List(val=[1, 2]))],
    ]


def test_a_column_of_null_lists_holds_no_values() -> None:
    nothing = pa.array([None], pa.list_(pa.string()))
    (row,) = encode_rows(
        batch_of(nothing, nothing),
        key_encoder("visitor_id"),
        {"items": ValueType.STRING_LIST, "hours": ValueType.STRING_LIST},
    )
    assert [value for _, value, _ in row.values] == [b"", b""]


def test_a_null_inside_a_list_is_refused_with_the_features_name() -> None:
    # A null list hides what lies under it: that is no null inside.
    hours = pa.array([[1], [2, None]], pa.list_(pa.int64()))
    items = pa.array([["a"], None])
    with pytest.raises(NearlineError, match="feature hours: a list has a null inside"):
        list(
            encode_rows(
                batch_of(items, hours),
                key_encoder("visitor_id"),
                {"items": ValueType.STRING_LIST, "hours": ValueType.INT64_LIST},
            )
        )


def batch_of(items: pa.Array, hours: pa.Array) -> pa.RecordBatch:
    numbers = list(range(len(items)))
    return pa.RecordBatch.from_pydict(
        {
            "entity_id": [str(number) for number in numbers],
            "event_us": numbers,
            "created_us": numbers,
            "fingerprint": numbers,
            "items": items,
            "hours": hours,
        }
    )

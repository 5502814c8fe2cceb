"""Turns columns into the bytes that Feast stores.

Belongs here: Feast's encoding of keys and values. Values are encoded by Feast's own
functions, one by distinct value: counts repeat, so few are left to encode.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nearline.errors import NearlineError
from nearline.online.values import EntityRow, microseconds

if TYPE_CHECKING:
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.value_type import ValueType

    FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

KEY_VERSION = 3

_Value = tuple[str, bytes, str | None]


def key_encoder(join_key: str) -> Callable[[str], bytes]:
    """A function from an entity's id to its key.

    A key ends with the id's length and the id; what comes before is the same for all,
    and taken from Feast. Asking Feast for each key took a quarter of a refresh; a test
    holds the two equal.
    """
    prefix = _empty_key(join_key)[:-4]

    def encode(entity_id: str) -> bytes:
        encoded = entity_id.encode()
        return prefix + struct.pack("<I", len(encoded)) + encoded

    return encode


def key_offset(join_key: str) -> int:
    """Where the entity's id begins in an encoded key; it goes on to the end."""
    return len(_empty_key(join_key))


def _empty_key(join_key: str) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val="")])
    encoded: bytes = serialize_entity_key(key, KEY_VERSION)
    return encoded


def encode_rows(
    batch: pa.RecordBatch,
    encode_key: Callable[[str], bytes],
    features: "dict[str, ValueType]",
) -> Iterator[EntityRow]:
    """Rows of `entity_id, event_us, created_us, fingerprint` and the features.

    Raises:
        NearlineError: a list has a null inside.
    """
    columns = [
        _encode_column(name, batch.column(name), kind)
        for name, kind in features.items()
    ]
    for entity_id, event_us, created_us, fingerprint, *values in zip(
        batch.column("entity_id").to_pylist(),
        batch.column("event_us").to_pylist(),
        batch.column("created_us").to_pylist(),
        batch.column("fingerprint").to_pylist(),
        *columns,
        strict=True,
    ):
        key = encode_key(entity_id)
        yield EntityRow(key, event_us, created_us, fingerprint, values)


def encode_feast_rows(rows: "Iterable[FeastRow]") -> Iterator[EntityRow]:
    """Rows as Feast hands them to a store: key, values, event and created time."""
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.infra.online_stores.helpers import extract_text_and_num

    for entity_key, values, event, created in rows:
        yield EntityRow(
            key=serialize_entity_key(entity_key, KEY_VERSION),
            event_us=microseconds(event),
            created_us=microseconds(created or event),
            fingerprint=None,
            values=[
                (
                    feature,
                    value.SerializeToString(),
                    extract_text_and_num(value, False)[0],
                )
                for feature, value in values.items()
            ],
        )


def _encode_column(
    name: str, column: "pa.Array[Any]", kind: "ValueType"
) -> list[_Value]:
    from feast.infra.online_stores.helpers import extract_text_and_num
    from feast.type_map import python_values_to_proto_values

    values, indices = _distinct(name, column)
    protos = python_values_to_proto_values(values, kind) if values else []
    encoded: list[_Value] = [
        (name, proto.SerializeToString(), extract_text_and_num(proto, False)[0])
        for proto in protos
    ]
    null: _Value = (name, b"", None)
    return [null if index is None else encoded[index] for index in indices]


def _distinct(name: str, column: "pa.Array[Any]") -> tuple[list[Any], list[int | None]]:
    """The distinct values of a column but null, and which of them each row has."""
    if not pa.types.is_list(column.type):
        coded = column.dictionary_encode()
        return coded.dictionary.to_pylist(), coded.indices.to_pylist()
    if column.flatten().null_count:  # type: ignore[attr-defined]
        # Feast would store an empty text or a zero in its place.
        raise NearlineError(
            f"feature {name}: a list has a null inside, which cannot be stored; "
            "leave nulls out in the SQL, as with list_filter or `filter (where ...)`"
        )
    # Arrow has no dictionary of lists.
    numbers: dict[tuple[Any, ...], int] = {}
    indices = [
        None if row is None else numbers.setdefault(tuple(row), len(numbers))
        for row in column.to_pylist()
    ]
    return [list(row) for row in numbers], indices

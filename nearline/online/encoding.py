"""Turns columns into the bytes that Feast stores.

Belongs here: Feast's encoding of keys and values, always by Feast's own functions. A
column is encoded value by distinct value: counts repeat, so few are left to encode.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nearline.online.store_file import EntityRow

if TYPE_CHECKING:
    from feast.value_type import ValueType

KEY_VERSION = 3


def encode_key(join_key: str, entity_id: str) -> bytes:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    key = EntityKey(join_keys=[join_key], entity_values=[Value(string_val=entity_id)])
    encoded: bytes = serialize_entity_key(key, KEY_VERSION)
    return encoded


def key_offset(join_key: str) -> int:
    """Where the entity's id begins in an encoded key; it goes on to the end."""
    return len(encode_key(join_key, ""))


def encode_rows(
    batch: pa.RecordBatch, join_key: str, features: "dict[str, ValueType]"
) -> Iterator[EntityRow]:
    """Rows of `entity_id, event_us, created_us, fingerprint` and the features."""
    columns = [
        [(name, *encoded) for encoded in _encode_column(batch.column(name), kind)]
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
        key = encode_key(join_key, entity_id)
        yield EntityRow(key, event_us, created_us, fingerprint, values)


def _encode_column(
    column: "pa.Array[Any]", kind: "ValueType"
) -> Iterator[tuple[bytes, str | None]]:
    from feast.infra.online_stores.helpers import extract_text_and_num
    from feast.type_map import python_values_to_proto_values

    coded = column.dictionary_encode()
    protos = python_values_to_proto_values(coded.dictionary.to_pylist(), kind)
    encoded = [
        (proto.SerializeToString(), extract_text_and_num(proto, False)[0])
        for proto in protos
    ]
    null: tuple[bytes, str | None] = (b"", None)
    for index in coded.indices.to_pylist():
        yield null if index is None else encoded[index]

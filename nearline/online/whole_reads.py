"""A service's features from Redis in one `HMGET` an entity, as Feast's own response.

Belongs here: putting a response together from the bytes that lie in Redis, which are
protobuf messages already. Feast asks view by view, parses every value and copies each into
the response: several times the work for the same answer, to which a test holds this one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feast import FeatureService, FeatureView
from feast.infra.online_stores.helpers import _mmh3
from feast.online_response import OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import (
    FieldStatus,
    GetOnlineFeaturesResponse,
)
from feast.protos.feast.types.Value_pb2 import Value
from feast.utils import _get_cached_request_context
from feast.value_type import ValueType
from google.protobuf.timestamp_pb2 import Timestamp

_VECTOR = GetOnlineFeaturesResponse.FeatureVector
_NOTHING = b""


def _tag(message: Any, field: str) -> bytes:
    """What stands before a field of several bytes in the wire format of protobuf."""
    number: int = message.DESCRIPTOR.fields_by_name[field].number
    return bytes([number << 3 | 2])


_SHORT = tuple(bytes([size]) for size in range(0x80))


def _length(size: int) -> bytes:
    """A size as protobuf writes it: seven bits a byte, the lowest first."""
    if size < len(_SHORT):
        return _SHORT[size]
    return bytes([size & 0x7F | 0x80]) + _length(size >> 7)


_RESULT = _tag(GetOnlineFeaturesResponse, "results")
_VALUE, _STATUSES, _MOMENT = (
    _tag(_VECTOR, field) for field in ("values", "statuses", "event_timestamps")
)
_PRESENT, _NOT_FOUND = (
    bytes([status]) for status in (FieldStatus.PRESENT, FieldStatus.NOT_FOUND)
)


class _NoRow:
    """Has nothing in any place."""

    def __getitem__(self, place: int) -> None:
        return None


_NO_ROW = _NoRow()


@dataclass(frozen=True, slots=True)
class _View:
    """`values` are the places of its features in the fields that are asked for; the
    place after them holds the event time."""

    values: range
    limit: timedelta | None


@dataclass(frozen=True, slots=True)
class WholeRead:
    """How a service is read: what is asked of an entity's hash, and what it stands for.

    `views_of` is Feast's own resolution of the service, which it makes anew when the
    registry changes.
    """

    views_of: Any
    join_key: str
    fields: list[str | bytes]
    views: tuple[_View, ...]
    names: tuple[str, ...]
    types: Mapping[str, ValueType]

    def entities(self, entity_rows: Any) -> list[str] | None:
        """The ids that are asked for; None where rows say anything else beside."""
        if not isinstance(entity_rows, list) or not entity_rows:
            return None
        found = [
            row[self.join_key]
            for row in entity_rows
            if len(row) == 1 and isinstance(row.get(self.join_key), str)
        ]
        return found if len(found) == len(entity_rows) else None

    def response(
        self,
        entity_ids: Sequence[str],
        hashes: Mapping[str, Sequence[Any]],
        now: datetime,
    ) -> OnlineResponse:
        """Feast's response.

        Args:
            hashes: what Redis has in `fields`, by entity: bytes, or None.
            now: from when on a view's limit counts back.
        """
        answer = GetOnlineFeaturesResponse()
        answer.metadata.feature_names.val.extend((self.join_key, *self.names))
        count = len(entity_ids)
        asked = _VECTOR(
            values=[Value(string_val=entity_id) for entity_id in entity_ids],
            statuses=[FieldStatus.PRESENT] * count,
            event_timestamps=[Timestamp()] * count,
        )
        rows = [hashes[entity_id] for entity_id in entity_ids]
        parts = [_RESULT, *_sized(asked.SerializeToString())]
        for view in self.views:
            moments = [_moment(row[view.values.stop], view.limit, now) for row in rows]
            told = _told(moments)
            known = [
                _NO_ROW if moment is None else row
                for row, moment in zip(rows, moments, strict=True)
            ]
            for place in view.values:
                values = b"".join(
                    part
                    for row in known
                    for part in (_VALUE, *_sized(row[place] or _NOTHING))
                )
                parts += (_RESULT, _length(len(values) + len(told)), values, told)
        answer.MergeFromString(b"".join(parts))
        return OnlineResponse(answer, feature_types=dict(self.types))


def whole_read(
    features: Any,
    registry: Any,
    project: str,
    stored_name: Callable[[FeatureView], str],
    feature_types: Callable[[Any], dict[str, ValueType]],
    known: WholeRead | None,
) -> WholeRead | None:
    """How to read these features at once; None where Feast has to do it.

    Args:
        stored_name: under which a view's values lie in the store.
        known: how they were read before; returned while it is still right.
    """
    if not isinstance(features, FeatureService):
        return None
    (
        _,
        on_demand,
        _,
        entity_types,
        _,
        views_of,
        _,
        request_data,
        has_no_entity,
    ) = _get_cached_request_context(registry, project, features, False)
    if known is not None and known.views_of is views_of:
        return known
    if on_demand or request_data or has_no_entity:
        return None
    keys = {tuple(view.join_keys) for view, _ in views_of}
    if len(keys) != 1 or len(next(iter(keys))) != 1:
        return None
    ((join_key,),) = keys
    if entity_types.get(join_key) != ValueType.STRING:
        return None
    fields: list[str | bytes] = []
    views, names = [], []
    for view, wanted in views_of:
        projection = view.projection
        if projection.join_key_map or projection.version_tag is not None:
            return None
        name = stored_name(view)
        values = range(len(fields), len(fields) + len(wanted))
        fields += [*(_mmh3(f"{name}:{feature}") for feature in wanted), f"_ts:{name}"]
        views.append(_View(values, view.ttl or None))
        names += wanted
    return WholeRead(
        views_of,
        join_key,
        fields,
        tuple(views),
        tuple(names),
        feature_types(views_of),
    )


def _told(moments: Sequence[bytes | None]) -> bytes:
    """What a view's vectors say beside values: status and event time of each row."""
    statuses = [_NOT_FOUND if moment is None else _PRESENT for moment in moments]
    times = [
        part for moment in moments for part in (_MOMENT, *_sized(moment or _NOTHING))
    ]
    return b"".join((_STATUSES, _length(len(moments)), *statuses, *times))


def _sized(message: bytes) -> tuple[bytes, bytes]:
    return _length(len(message)), message


def _moment(
    stored: bytes | None, limit: timedelta | None, now: datetime
) -> bytes | None:
    """A view's event time as it is told; None where its values have expired, or where
    there are none and the view has a limit."""
    moment = Timestamp.FromString(stored or _NOTHING)
    # As Feast reads it: to the microsecond.
    known_at = datetime.fromtimestamp(moment.seconds + moment.nanos / 1e9, tz=UTC)
    if limit is not None and known_at < now - limit:
        return None
    if moment.nanos % 1_000:
        moment.FromDatetime(known_at)
        told: bytes = moment.SerializeToString()
        return told
    return stored or _NOTHING

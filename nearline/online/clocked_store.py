"""Feast's SQLite store with a memory for time: an older value never wins, an expired
one is missing.

Belongs here: what Feast calls when somebody writes or reads through it with the file
`online/clocked.yaml`. Feast's layout stays, so apps use the stock class.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_versioned_name
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from nearline.online.encoding import KEY_VERSION, encode_feast_rows
from nearline.online.sqlite_values import SqliteValues, clocked_event_times
from nearline.online.values import StoredView, microseconds

TYPE = "nearline.online.clocked_store.ClockedSqliteOnlineStore"

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Read = tuple[datetime | None, dict[str, Value] | None]

_SECOND = timedelta(seconds=1)


def utc_now() -> datetime:
    return datetime.now(UTC)


def written_view(config: RepoConfig, table: FeatureView) -> StoredView:
    """What a store has to know of the view that Feast is writing."""
    versioned = config.registry.enable_online_feature_view_versioning
    return StoredView(
        name=compute_versioned_name(table, versioned),
        join_key=next(iter(table.join_keys), ""),
        features=tuple(sorted(field.name for field in table.features)),
        ttl_us=table.ttl // timedelta(microseconds=1) if table.ttl else None,
    )


class ClockedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """As Feast's; the class is found by this one's name."""

    type: Literal[TYPE] = TYPE  # type: ignore


class ClockedSqliteOnlineStore(SqliteOnlineStore):
    """Writes a row unless the stored one is newer by (event, created) time; reads it
    until its view's limit is over, to the microsecond."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__()
        self._clock = clock

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        view = written_view(config, table)
        path = Path(self._get_db_path(config))
        with closing(SqliteValues(path, config.project)) as values:
            values.prepare(view)
            values.write(view, encode_feast_rows(data))
        if progress is not None:
            progress(len(data))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        found = super().online_read(config, table, entity_keys, requested_features)
        if not table.ttl:
            return found
        known_since = self._clock() - table.ttl
        moments = self._exact_moments(config, table, entity_keys, found, known_since)
        return [
            (None, None) if moment is not None and moment < known_since else read
            for read, moment in zip(found, moments, strict=True)
        ]

    def _exact_moments(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: Sequence[EntityKey],
        found: Sequence[Read],
        known_since: datetime,
    ) -> list[datetime | None]:
        """Event times. Feast keeps whole seconds, so in the last of them the clock has to
        be asked."""
        moments = [moment for moment, _ in found]
        keys = {
            serialize_entity_key(entity_keys[number], KEY_VERSION): number
            for number, moment in enumerate(moments)
            if moment is not None and moment <= known_since < moment + _SECOND
        }
        name = f"{config.project}_{written_view(config, table).name}"
        exact = clocked_event_times(self._get_conn(config), name, list(keys))
        for key, event_us in exact.items():
            told = moments[keys[key]]
            assert told is not None
            since = event_us - microseconds(told)
            # Otherwise plain Feast has written past the clock.
            if 0 <= since < 1_000_000:
                moments[keys[key]] = told + timedelta(microseconds=since)
        return moments

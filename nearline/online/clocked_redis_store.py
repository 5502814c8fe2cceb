"""Feast's Redis store with a memory for time: an older value never wins, an expired one
is missing.

Belongs here: what Feast calls when somebody writes or reads through it with the file
`online/clocked.yaml`. Feast's layout stays, so apps use the stock class.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from feast import FeatureView, RepoConfig
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.online_response import OnlineResponse

from nearline.online.clocked_store import FeastRow, Read, utc_now, written_view
from nearline.online.encoding import encode_feast_rows, key_encoder
from nearline.online.redis_values import RedisValues
from nearline.online.whole_reads import WholeRead, whole_read

TYPE = "nearline.online.clocked_redis_store.ClockedRedisOnlineStore"


class ClockedRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """As Feast's; the class is found by this one's name."""

    type: Literal[TYPE] = TYPE  # type: ignore

    timeout_seconds: float = 10
    """How long a write is tried again before it fails."""


class ClockedRedisOnlineStore(RedisOnlineStore):
    """Writes a row unless the stored one is newer by (event, created) time, in one step
    on the server; reads it until its view's limit is over."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__()
        self._clock = clock
        self._limits: dict[str, timedelta] = {}
        self._writing = threading.Lock()
        self._values: RedisValues | None = None
        self._whole_reads: dict[tuple[str, str], WholeRead] = {}

    def get_online_features(
        self,
        config: RepoConfig,
        features: Any,
        entity_rows: Any,
        registry: Any,
        project: str,
        *arguments: Any,
        **named: Any,
    ) -> OnlineResponse:
        """A service of one key in one step; anything else as Feast does."""
        # Full names, and versions of views beside the values.
        is_plain = not any(arguments) and not any(named.values())
        read = (
            self._whole_read(config, features, registry, project) if is_plain else None
        )
        entity_ids = None if read is None else read.entities(entity_rows)
        if read is None or entity_ids is None:
            return super().get_online_features(
                config, features, entity_rows, registry, project, *arguments, **named
            )
        asked = list(dict.fromkeys(entity_ids))
        encode, suffix = key_encoder(read.join_key), project.encode()
        keys = [encode(entity_id) + suffix for entity_id in asked]
        found = self._read_hash_fields(config, [(key, read.fields) for key in keys])
        return read.response(
            entity_ids, dict(zip(asked, found, strict=True)), self._clock()
        )

    def _whole_read(
        self, config: RepoConfig, features: Any, registry: Any, project: str
    ) -> WholeRead | None:
        name = (project, getattr(features, "name", ""))
        read = whole_read(
            features,
            registry,
            project,
            lambda view: written_view(config, view).name,
            self._build_feature_types,
            self._whole_reads.get(name),
        )
        if read is not None:
            self._whole_reads[name] = read
        return read

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        view = written_view(config, table)
        with self._writing:
            values = self._opened(config)
            values.prepare(view)
            values.write(view, encode_feast_rows(data))
        if progress is not None:
            progress(len(data))

    async def online_write_batch_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def _opened(self, config: RepoConfig) -> RedisValues:
        if self._values is None:
            # A client of its own: it is closed and opened anew when a server goes.
            writer = RedisOnlineStore()

            def open_client() -> Any:
                writer._client = None
                return writer._get_client(config.online_store)

            self._values = RedisValues(
                config.project, open_client, config.online_store.timeout_seconds
            )
        return self._values

    # Feast reads by three ways that share one conversion, which knows the view's name
    # alone; so they leave its limit where the conversion finds it.

    def online_read(
        self, config: RepoConfig, table: FeatureView, *arguments: Any, **named: Any
    ) -> list[Read]:
        self._note_limits(config, [table])
        return super().online_read(config, table, *arguments, **named)

    async def online_read_async(
        self, config: RepoConfig, table: FeatureView, *arguments: Any, **named: Any
    ) -> list[Read]:
        self._note_limits(config, [table])
        return await super().online_read_async(config, table, *arguments, **named)

    def _read_features_per_fv(
        self, config: RepoConfig, grouped_refs: Any, *arguments: Any, **named: Any
    ) -> None:
        self._note_limits(config, [table for table, _ in grouped_refs])
        super()._read_features_per_fv(config, grouped_refs, *arguments, **named)

    async def _read_features_per_fv_async(
        self, config: RepoConfig, grouped_refs: Any, *arguments: Any, **named: Any
    ) -> None:
        self._note_limits(config, [table for table, _ in grouped_refs])
        await super()._read_features_per_fv_async(
            config, grouped_refs, *arguments, **named
        )

    def _note_limits(self, config: RepoConfig, tables: Sequence[FeatureView]) -> None:
        for table in tables:
            view = written_view(config, table)
            self._limits[view.name] = table.ttl or timedelta(0)

    def _convert_redis_values_to_protobuf(
        self, redis_values: Any, feature_view: str, requested_features: list[str]
    ) -> list[Read]:
        found: list[Read] = super()._convert_redis_values_to_protobuf(
            redis_values, feature_view, requested_features
        )
        limit = self._limits[feature_view]
        if not limit:
            return found
        known_since = self._clock() - limit
        return [
            (None, None) if moment is None or moment < known_since else (moment, values)
            for moment, values in found
        ]

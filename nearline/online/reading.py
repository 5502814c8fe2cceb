"""Reads a service's features for entities, with their moments, and logs a sample.

Belongs here: the reader that our own apps use. It is Feast's client, with the service
object held (looking it up costs milliseconds a read), with the registry read again when it
has changed and not in the middle of a read every few seconds, and with what was served
handed to the log of served values, which is written off the request's path.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from nearline.errors import InputError
from nearline.file_stamps import file_stamp
from nearline.online.configuration import (
    PROJECT,
    clocked_file,
    named_store,
    reader_file,
    registry_file,
)
from nearline.online.fill_mark import FillMark, read_fill_mark
from nearline.online.freshness import known_us
from nearline.online.latest import view_source
from nearline.served.log import ServedLog, ServedView, segments_folder
from nearline.settings import Settings

if TYPE_CHECKING:
    from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse

_LOOK_SECONDS = 1.0
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class EntityFeatures:
    """What is served of one entity.

    `values` holds every feature of the service, None where nothing is known. By the
    views' names in the service, `event_timestamps` (UTC, no zone; as exact as the store
    keeps them) say when a view's values became known, and `ages` how many seconds ago
    that was; None where the store has nothing of the entity.
    """

    entity_id: str
    values: Mapping[str, Any]
    event_timestamps: Mapping[str, datetime | None]
    ages: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class _View:
    alias: str
    name: str
    table: str
    ttl: timedelta | None
    features: tuple[str, ...]


class OpenStore:
    """Feast's store, as our own apps read it; readers of several services share one.

    From Redis a service is read in one step (see `whole_reads`).
    """

    def __init__(self, settings: Settings) -> None:
        """Opens the store that `nearline run` fills; takes seconds.

        Raises:
            InputError: nothing is online yet.
        """
        from feast import FeatureStore
        from feast.repo_config import load_repo_config

        if not reader_file(settings).exists():
            raise InputError("nothing is online yet; `nearline run` fills the store")
        is_redis = named_store(settings) == "redis"
        config = load_repo_config(
            settings.online,
            clocked_file(settings) if is_redis else reader_file(settings),
        )
        # Never on its own: `follow` does it when there is something new.
        config.registry.cache_ttl_seconds = 0
        self._registry_file = registry_file(settings)
        self._stamp = file_stamp(self._registry_file)
        self._looked_at = time.monotonic()
        self.feast: FeatureStore = FeatureStore(config=config)

    def follow(self) -> None:
        """Takes up a registry that has changed; looks once a second."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        stamp = file_stamp(self._registry_file)
        if stamp != self._stamp:
            self.feast.refresh_registry()  # type: ignore[no-untyped-call]
            self._stamp = stamp


class FeatureReader:
    """Holds a Feast store and one of its services; safe to use from several threads.

    Opening takes seconds (Feast's import and the registry), a read about a millisecond.
    """

    def __init__(
        self,
        settings: Settings,
        service: str,
        *,
        store: OpenStore | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        log: ServedLog | None = None,
    ) -> None:
        """Opens the store that `nearline run` fills.

        Args:
            store: one that is open already.
            clock: the moment of serving, with a zone.
            log: where a sample goes; by default `$NEARLINE_HOME/served`, with the share
                of entities that the settings say.

        Raises:
            InputError: nothing is online yet, or no service of this name, or one whose
                views have more than one key.
        """
        from feast.errors import FeatureServiceNotFoundException

        self._settings = settings
        self._clock = clock
        self._open = store or OpenStore(settings)
        feast = self._open.feast
        try:
            self._service = feast.get_feature_service(service)
        except FeatureServiceNotFoundException as problem:
            known = feast.registry.list_feature_services(PROJECT)
            raise InputError(
                f"feature service {service} is not registered; there are "
                f"{', '.join(sorted(one.name for one in known)) or 'none'}"
            ) from problem
        entities = {
            entity.name: entity for entity in feast.registry.list_entities(PROJECT)
        }
        views, keys = [], set()
        for part in self._service.feature_view_projections:
            view = feast.get_feature_view(part.name)
            source = view_source(view, entities)
            keys.add(source.join_key)
            views.append(
                _View(
                    alias=part.name_alias or part.name,
                    name=part.name,
                    table=source.table,
                    ttl=view.ttl or None,
                    features=tuple(field.name for field in part.features),
                )
            )
        if len(keys) != 1:
            raise InputError(
                f"feature service {service} has the keys {', '.join(sorted(keys))}; "
                "a reader takes services of one key"
            )
        (self.entity_key,) = keys
        self._views = tuple(views)
        self._log = log or ServedLog(
            segments_folder(settings), settings.served_sample_share
        )
        self._mark: FillMark | None = None
        self._mark_read_at: float | None = None

    def read(self, entity_ids: Sequence[str]) -> list[EntityFeatures]:
        """The service's features of each entity, in the order of `entity_ids`."""
        if not entity_ids:
            return []
        # Before the values: what the mark says is then true of them.
        mark = self._fill_mark()
        self._open.follow()
        response = self._open.feast.get_online_features(
            features=self._service,
            entity_rows=[{self.entity_key: entity_id} for entity_id in entity_ids],
        ).proto
        served_at = self._clock().astimezone(UTC).replace(tzinfo=None)
        found = _decoded(response, entity_ids, self._views, served_at)
        sampled = [one for one in found if self._log.samples(one.entity_id)]
        if sampled:
            self._log.add(partial(self._served, sampled, served_at, mark))
        return found

    def close(self) -> None:
        """Writes what is still to be logged."""
        self._log.close()

    def _fill_mark(self) -> FillMark | None:
        now = time.monotonic()
        if self._mark_read_at is None or now - self._mark_read_at >= _LOOK_SECONDS:
            self._mark = read_fill_mark(self._settings)
            self._mark_read_at = now
        return self._mark

    def _served(
        self,
        found: Sequence[EntityFeatures],
        served_at: datetime,
        mark: FillMark | None,
    ) -> list[ServedView]:
        return [
            ServedView(
                served_at=served_at,
                service=self._service.name,
                view=view.name,
                view_table=view.table,
                entity_key=self.entity_key,
                entity_id=one.entity_id,
                event_timestamp=one.event_timestamps[view.alias],
                known_up_to=mark.data_up_to if mark else None,
                known_from=served_at - view.ttl if view.ttl else None,
                suppression=mark.suppression if mark else "",
                values={name: _as_stored(one.values[name]) for name in view.features},
            )
            for one in found
            for view in self._views
        ]


def _decoded(
    response: "GetOnlineFeaturesResponse",
    entity_ids: Sequence[str],
    views: Sequence[_View],
    served_at: datetime,
) -> list[EntityFeatures]:
    from feast.type_map import feast_value_type_to_python_type

    # The order of features in a response is not that of the service.
    columns = dict(
        zip(response.metadata.feature_names.val, response.results, strict=True)
    )
    found = []
    for row, entity_id in enumerate(entity_ids):
        moments: dict[str, datetime | None] = {}
        values = {}
        for view in views:
            at_us = known_us(columns[view.features[0]].event_timestamps[row])
            moments[view.alias] = (
                _EPOCH + timedelta(microseconds=at_us) if at_us else None
            )
            for name in view.features:
                values[name] = feast_value_type_to_python_type(
                    columns[name].values[row]
                )
        ages = {
            alias: None if moment is None else (served_at - moment).total_seconds()
            for alias, moment in moments.items()
        }
        found.append(EntityFeatures(entity_id, values, moments, ages))
    return found


def _as_stored(value: Any) -> Any:
    """Moments in whole seconds since 1970, which is how Feast keeps a feature's."""
    return int(value.timestamp()) if isinstance(value, datetime) else value

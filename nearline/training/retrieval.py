"""Feast's historical retrieval of one service from one release.

Belongs here: what is asked of Feast, and of which release. The registry that apps read
is taken as it is, its sources alone are pointed at the release: `published` may move on
while a set is made, and half of it would be of another release.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nearline.errors import InputError, NearlineError
from nearline.online.configuration import (
    PROJECT,
    reader_configuration,
    reader_file,
    registry_file,
)
from nearline.online.latest import ViewSource, drift, is_in, view_source
from nearline.online.registry import open_registry, registered
from nearline.publication.tables import scan, table_path
from nearline.settings import Settings
from nearline.sql_text import parquet_rows
from nearline.training.labels import MOMENT

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore, FileSource

_ROW = "label_row"


@dataclass(frozen=True, slots=True)
class ServiceFeatures:
    """A service on a release: its keys, and the features' Arrow types in order."""

    name: str
    keys: tuple[str, ...]
    features: Mapping[str, "pa.DataType"]
    _asked: Path
    _store: "FeatureStore"
    _service: "FeatureService"

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(list(self.features.items()))

    def values_at(self, keys: pa.Table) -> pa.Table:
        """Features as known at each row's moment, row for row, null where none was.

        Args:
            keys: the service's keys (text) and `event_timestamp` (UTC, no zone).
        """
        asked = keys.select([*self.keys, MOMENT]).append_column(
            _ROW, pa.array(np.arange(keys.num_rows))
        )
        # Feast takes a query or a data frame; text in a data frame is an object each.
        pq.write_table(asked, self._asked)
        # Nothing that arrived after the label's moment counts, whatever moment a row
        # states for itself: Feast holds `created_timestamp` against it too.
        job = self._store.get_historical_features(
            entity_df=f"select * from {parquet_rows(self._asked)}",
            features=self._service,
            filter_by_created_timestamp=True,
        )
        found = job.to_arrow().sort_by(_ROW)
        if found.num_rows != keys.num_rows:
            raise NearlineError(
                f"feature service {self.name}: Feast returned {found.num_rows:,} rows "
                f"for {keys.num_rows:,} labels"
            )
        return found.select(self.schema.names).cast(self.schema)


@contextmanager
def open_service(
    settings: Settings, release: Path, name: str
) -> Iterator[ServiceFeatures]:
    """The registered service `name`, reading `release` and no other.

    Raises:
        InputError: nothing is registered yet, or no service of this name.
        NearlineError: the release does not hold what the service's views need.
    """
    if not registry_file(settings).exists() or not reader_file(settings).exists():
        raise InputError(
            "no feature service is registered yet; `nearline run` registers them"
        )
    with open_registry(reader_configuration(settings)) as registry:
        known = registered(registry)
    services = {service.name: service for service in known.services}
    if name not in services:
        raise InputError(
            f"--service is none of the registered services: "
            f"{', '.join(sorted(services)) or 'none'}"
        )
    service = services[name]
    entities = {entity.name: entity for entity in known.entities}
    by_name = {view.name: view for view in known.views}
    views = [by_name[part.name] for part in service.feature_view_projections]
    sources = [view_source(view, entities) for view in views]
    for source in sources:
        if not is_in(release, source):
            raise NearlineError(
                f"feature view {source.view}: release {release.name} has no table "
                f"{source.table}; run `nearline run`"
            )
        if reason := drift(release, source):
            raise NearlineError(reason)
    with tempfile.TemporaryDirectory(prefix="nearline-training-") as scratch:
        store = _store_on(Path(scratch))
        for entity in known.entities:
            store.registry.apply_entity(entity, PROJECT)
        for view, source in zip(views, sources, strict=True):
            view.batch_source = _source_in(release, source)
            store.registry.apply_data_source(view.batch_source, PROJECT)
            store.registry.apply_feature_view(view, PROJECT)
        store.registry.apply_feature_service(service, PROJECT)
        yield ServiceFeatures(
            name=name,
            keys=tuple(dict.fromkeys(source.join_key for source in sources)),
            features=_feature_types(release, service, sources),
            _asked=Path(scratch) / "asked.parquet",
            _store=store,
            _service=store.get_feature_service(name),
        )


def _store_on(scratch: Path) -> "FeatureStore":
    from feast import FeatureStore, RepoConfig

    from nearline.training.asof_store import TYPE

    return FeatureStore(
        config=RepoConfig(
            project=PROJECT,
            provider="local",
            registry=str(scratch / "registry.db"),
            offline_store={"type": TYPE},
            online_store={"type": "sqlite", "path": str(scratch / "online.db")},
            entity_key_serialization_version=3,
            repo_path=scratch,
        )
    )


def _source_in(release: Path, source: ViewSource) -> "FileSource":
    from feast import FileSource

    return FileSource(
        name=source.table,
        path=str(table_path(release, source.table)),
        timestamp_field=source.event_column,
        created_timestamp_column=source.created_column,
    )


def _feature_types(
    release: Path, service: "FeatureService", sources: list[ViewSource]
) -> dict[str, "pa.DataType"]:
    types: dict[str, pa.DataType] = {}
    with duckdb.connect() as connection:
        for part, source in zip(service.feature_view_projections, sources, strict=True):
            columns = ", ".join(f'"{field.name}"' for field in part.features)
            schema = (
                connection.sql(
                    f"select {columns} from {scan(release, source.table)} limit 0"
                )
                .to_arrow_table()
                .schema
            )
            types |= dict(zip(schema.names, schema.types, strict=True))
    return types

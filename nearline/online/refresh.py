"""Brings the online store to a release, by key, while apps read from it.

Belongs here: the order of things, which is what keeps reads whole:

1. check the definitions against the release: nothing is written if they do not fit;
2. fill tables, entity by entity, newest value only, old values standing until then;
3. register views; 4. register services, which point readers at what is filled.

A failure anywhere leaves what was readable readable; the next refresh goes on from
there. Feast's own `materialize` is not used: it goes by event time and so misses rows
that arrive late, lets an older row overwrite a newer one, and closes a view meanwhile.
"""

import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import NearlineError
from nearline.online.configuration import (
    PROJECT,
    REGISTRY_TTL_SECONDS,
    reader_configuration,
    registry_file,
    store_file,
    write_reader_file,
)
from nearline.online.definitions import FEATURE_REPO, Definitions, load_definitions
from nearline.online.encoding import encode_rows, key_encoder, key_offset
from nearline.online.latest import (
    LatestValues,
    ViewSource,
    drift,
    is_in,
    view_source,
)
from nearline.online.registry import (
    check_only_grows,
    open_registry,
    register_services,
    register_views,
    registered,
)
from nearline.online.store_file import (
    StoreFile,
    enable_reading_while_writing,
    open_store_file,
)
from nearline.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

# Entities in one transaction: other writers get their turn in between.
BATCH_ENTITIES = 5_000


@dataclass(frozen=True, slots=True)
class ViewRefresh:
    """What a refresh did to one view. Rows are entities with all their features.

    `rows_unchanged` counts the release's entities that needed no write, the store's
    value being the same or newer; `rows_deleted` those that the release has no longer.
    """

    view: str
    rows_written: int
    rows_unchanged: int
    rows_deleted: int
    newest_event_timestamp: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class _Filling:
    """One view to fill. `is_frozen`: retired, and its columns are gone."""

    view: "FeatureView"
    source: ViewSource
    is_frozen: bool = False


def refresh_online_store(
    settings: Settings,
    release: Path,
    *,
    feature_repo: Path = FEATURE_REPO,
    registry_ttl_seconds: int = REGISTRY_TTL_SECONDS,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
    on_view: Callable[[ViewRefresh], None] = lambda view: None,
) -> list[ViewRefresh]:
    """Fills and registers everything in `feature_repo` from `release`.

    A table that the release lacks is skipped, its values stay; one without rows says
    that nobody has such features any more, and empties the view. Views that are no
    longer defined are kept up as long as they are registered: an app may hold them.

    Raises:
        NearlineError: a definition does not fit the release or what is registered
            (nothing is written then), or a file cannot be read or written.
    """
    defined = load_definitions(feature_repo, settings.home, settings.dbt_project)
    settings.online.mkdir(parents=True, exist_ok=True)
    configuration = reader_configuration(settings, registry_ttl_seconds)
    try:
        _check_drift(release, defined)
        enable_reading_while_writing(registry_file(settings))
        with open_registry(configuration) as registry:
            before = registered(registry)
            check_only_grows(before, defined)
            fillings = _fillings(release, before, defined)
            enable_reading_while_writing(store_file(settings))
            done = _fill(store_file(settings), release, fillings, on_view)
            register_views(registry, defined)
            register_services(
                registry, defined, timedelta(seconds=registry_ttl_seconds), clock, pause
            )
    except sqlite3.Error as error:
        raise NearlineError(
            f"the online store cannot be written: {error}; what apps read is as before"
        ) from error
    write_reader_file(settings, configuration)
    return done


def _check_drift(release: Path, defined: Definitions) -> None:
    entities = {entity.name: entity for entity in defined.entities}
    for view in defined.views:
        source = view_source(view, entities)
        if is_in(release, source) and (reason := drift(release, source)):
            raise NearlineError(reason)


def _fillings(
    release: Path, before: Definitions, defined: Definitions
) -> list[_Filling]:
    entities = {entity.name: entity for entity in (*before.entities, *defined.entities)}
    fillings = [
        _Filling(view, view_source(view, entities))
        for view in sorted(defined.views, key=lambda view: view.name)
    ]
    names = {view.name for view in defined.views}
    for view in before.views:
        if view.name in names:
            continue
        source = view_source(view, entities)
        if is_in(release, source) and drift(release, source):
            # Nothing to renew it with; erased keys must leave it all the same.
            source = replace(source, features={})
            fillings.append(_Filling(view, source, is_frozen=True))
        else:
            fillings.append(_Filling(view, source))
    return fillings


def _fill(
    path: Path,
    release: Path,
    fillings: list[_Filling],
    on_view: Callable[[ViewRefresh], None],
) -> list[ViewRefresh]:
    from feast.infra.online_stores.helpers import compute_table_id

    done = []
    with open_store_file(path) as store:
        tables = {
            filling.view.name: compute_table_id(PROJECT, filling.view)
            for filling in fillings
        }
        _create_tables(path, sorted(set(tables.values()) - store.tables()))
        store.keep_only(tables.values())
        for filling in fillings:
            started = time.perf_counter()
            table = tables[filling.view.name]
            store.add_clock(table)
            refreshed = _fill_view(store, table, release, filling)
            refreshed = replace(refreshed, seconds=time.perf_counter() - started)
            on_view(refreshed)
            done.append(refreshed)
    return done


def _create_tables(path: Path, names: Iterable[str]) -> None:
    """Makes empty tables exactly as Feast does."""
    from feast.infra.online_stores.sqlite import SqliteTable

    for name in names:
        table = SqliteTable(str(path), name)
        try:
            table.update()  # type: ignore[no-untyped-call]
        finally:
            table.conn.close()


def _fill_view(
    store: StoreFile, table: str, release: Path, filling: _Filling
) -> ViewRefresh:
    source = filling.source
    nothing = ViewRefresh(source.view, 0, 0, 0, None, 0.0)
    if not is_in(release, source):
        return nothing
    offset = key_offset(source.join_key)
    encode_key = key_encoder(source.join_key)
    latest = LatestValues(release, source)
    try:
        changes = latest.compare(store.held(table, offset))
        written = 0
        if not filling.is_frozen:
            kinds = {
                field.name: field.dtype.to_value_type()
                for field in filling.view.features
            }
            features = {name: kinds[name] for name in source.features}
            known = store.known(table, offset, min(features))
            for batch in latest.changed(known, BATCH_ENTITIES):
                rows = encode_rows(batch, encode_key, features)
                written += store.write(table, rows)
        store.delete(table, [encode_key(gone) for gone in changes.vanished])
    finally:
        latest.close()
    return replace(
        nothing,
        rows_written=written,
        rows_unchanged=changes.entity_count - written,
        rows_deleted=len(changes.vanished),
        newest_event_timestamp=changes.newest_event_timestamp,
    )

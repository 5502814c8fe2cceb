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
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import NearlineError
from nearline.online.configuration import (
    REGISTRY_TTL_SECONDS,
    named_store,
    reader_configuration,
    registry_file,
    store_file,
    write_configurations,
)
from nearline.online.definitions import FEATURE_REPO, Definitions, load_definitions
from nearline.online.encoding import encode_rows, key_encoder
from nearline.online.latest import (
    LatestValues,
    ViewSource,
    drift,
    is_in,
    view_source,
)
from nearline.online.opening import open_online_values
from nearline.online.registry import (
    check_only_grows,
    open_registry,
    register_services,
    register_views,
    registered,
)
from nearline.online.sqlite_values import enable_reading_while_writing
from nearline.online.values import (
    OnlineValues,
    StoredView,
    microseconds,
    stored_view,
)
from nearline.privacy.suppression import suppressed_keys
from nearline.publication.releases import read_manifest
from nearline.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

# Entities in one transaction: other writers get their turn in between.
BATCH_ENTITIES = 5_000


@dataclass(frozen=True, slots=True)
class ViewRefresh:
    """What a refresh did to one view. Rows are entities with all their features.

    `rows_unchanged` counts the release's entities that needed no write, the store's
    value being the same or newer; `rows_deleted` those that the release has no longer,
    or only with an expired value. `rows_expired` counts the entities of the release
    that are left out because the view's limit is over for their newest value.
    """

    view: str
    rows_written: int
    rows_unchanged: int
    rows_deleted: int
    newest_event_timestamp: datetime | None
    seconds: float
    rows_expired: int = 0


@dataclass(frozen=True, slots=True)
class _Filling:
    """One view to fill. `is_frozen`: retired, and its columns are gone."""

    view: "FeatureView"
    source: ViewSource
    stored: StoredView
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
    now: datetime | None = None,
) -> list[ViewRefresh]:
    """Fills and registers everything in `feature_repo` from `release`.

    A table that the release lacks is skipped, its values stay; one without rows says
    that nobody has such features any more, and empties the view. Views that are no
    longer defined are kept up as long as they are registered: an app may hold them.
    Values that became known after the release's last arrival stay, too; those of
    suppressed visitors do not. What has expired at `now` (by default, by the clock of
    this machine) is neither written nor kept.

    Raises:
        NearlineError: a definition does not fit the release or what is registered
            (nothing is written then), or a file cannot be read or written.
        OnlineStoreUnavailableError: the store did not answer in time; the next refresh
            goes on from there.
    """
    defined = load_definitions(feature_repo, settings.home, settings.dbt_project)
    settings.online.mkdir(parents=True, exist_ok=True)
    configuration = reader_configuration(settings, registry_ttl_seconds)
    named_before = named_store(settings)
    try:
        _check_drift(release, defined)
        enable_reading_while_writing(registry_file(settings))
        with open_registry(configuration) as registry:
            before = registered(registry)
            check_only_grows(before, defined)
            fillings = _fillings(release, before, defined)
            with closing(open_online_values(settings)) as values:
                done = _fill(
                    values,
                    release,
                    fillings,
                    now or datetime.now(UTC),
                    _judged_up_to(release),
                    on_view,
                )
                _forget_suppressed(settings, values)
            register_views(registry, defined)
            register_services(
                registry, defined, timedelta(seconds=registry_ttl_seconds), clock, pause
            )
    except sqlite3.Error as error:
        raise NearlineError(
            f"the online store cannot be written: {error}; what apps read is as before"
        ) from error
    write_configurations(settings, configuration)
    if settings.online_store != "sqlite" and named_before == settings.online_store:
        _remove_left_file(settings)
    return done


def _remove_left_file(settings: Settings) -> None:
    """Takes away the file of before a change to another store.

    Nobody renews it or erases people in it any more. It outlives the change by one
    refresh, so that apps that still read it can be started anew.
    """
    for suffix in ("", "-wal", "-shm"):
        path = store_file(settings)
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _judged_up_to(release: Path) -> int | None:
    manifest = read_manifest(release)
    if manifest is None or manifest.data_up_to is None:
        return None
    return microseconds(datetime.fromisoformat(manifest.data_up_to))


def _forget_suppressed(settings: Settings, values: OnlineValues) -> None:
    """The release has nothing of them; something newer may have come past it."""
    encode_key = key_encoder("visitor_id")
    values.delete_entities([*map(encode_key, suppressed_keys(settings, "visitor"))])


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
    names = {view.name for view in defined.views}
    views = [
        *sorted(defined.views, key=lambda view: view.name),
        *(view for view in before.views if view.name not in names),
    ]
    fillings = []
    for view in views:
        source = view_source(view, entities)
        stored = stored_view(view, entities.values())
        if view.name not in names and is_in(release, source) and drift(release, source):
            # Nothing to renew it with; erased keys must leave it all the same.
            source = replace(source, features={})
            fillings.append(_Filling(view, source, stored, is_frozen=True))
        else:
            fillings.append(_Filling(view, source, stored))
    return fillings


def _fill(
    values: OnlineValues,
    release: Path,
    fillings: list[_Filling],
    now: datetime,
    judged_up_to_us: int | None,
    on_view: Callable[[ViewRefresh], None],
) -> list[ViewRefresh]:
    done = []
    for filling in fillings:
        values.prepare(filling.stored)
    values.keep_only(filling.stored for filling in fillings)
    for filling in fillings:
        started = time.perf_counter()
        known_since_us = filling.stored.known_since(now)
        if known_since_us is not None:
            values.expire(filling.stored, known_since_us)
        refreshed = _fill_view(
            values, release, filling, known_since_us, judged_up_to_us
        )
        refreshed = replace(refreshed, seconds=time.perf_counter() - started)
        on_view(refreshed)
        done.append(refreshed)
    return done


def _fill_view(
    values: OnlineValues,
    release: Path,
    filling: _Filling,
    known_since_us: int | None,
    judged_up_to_us: int | None,
) -> ViewRefresh:
    source, stored = filling.source, filling.stored
    nothing = ViewRefresh(source.view, 0, 0, 0, None, 0.0)
    if not is_in(release, source):
        return nothing
    encode_key = key_encoder(source.join_key)
    latest = LatestValues(release, source, known_since_us)
    try:
        held = values.held(stored)
        changes = latest.compare(held, judged_up_to_us)
        written = 0
        if not filling.is_frozen:
            kinds = {
                field.name: field.dtype.to_value_type()
                for field in filling.view.features
            }
            features = {name: kinds[name] for name in source.features}
            for batch in latest.changed(held, BATCH_ENTITIES):
                written += values.write(
                    stored, encode_rows(batch, encode_key, features)
                )
        values.delete(stored, [encode_key(gone) for gone in changes.vanished])
    finally:
        latest.close()
    return replace(
        nothing,
        rows_written=written,
        rows_unchanged=changes.entity_count - written,
        rows_deleted=len(changes.vanished),
        newest_event_timestamp=changes.newest_event_timestamp,
        rows_expired=changes.expired_count,
    )

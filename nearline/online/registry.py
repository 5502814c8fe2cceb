"""Brings the registry in line with the definitions, in an order that no reader notices.

Belongs here: what may change under a name that readers use, and when. Values are filled
by `refresh` before any of this.

A reader looks a service up anew and resolves its views against a registry that it read
up to a TTL ago; or it holds a service for days and resolves it against today's. So a
view only ever gains fields, and a service is pointed at something new only after every
reader has had to read the registry that has it.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import NearlineError
from nearline.online.configuration import PROJECT
from nearline.online.definitions import Definitions

if TYPE_CHECKING:
    from feast import FeatureService, FeatureView
    from feast.infra.registry.base_registry import BaseRegistry

_VERSIONED = re.compile(r"(?P<name>\w+)_v(?P<version>\d+)")

# Covers the milliseconds in which a reader reads the registry table by table.
_MARGIN = timedelta(seconds=1)


@contextmanager
def open_registry(configuration: Mapping[str, Any]) -> "Iterator[BaseRegistry]":
    """The registry named in `configuration`, created where missing; closed at the end.

    Neither Feast's provider nor its offline store is loaded: that costs seconds, and
    nothing here needs them.
    """
    from feast import FeatureStore, RepoConfig

    registry = FeatureStore(config=RepoConfig(**configuration)).registry
    try:
        yield registry
    finally:
        registry.write_engine.dispose()  # type: ignore[attr-defined]


def registered(registry: "BaseRegistry") -> Definitions:
    """What is in the registry now, retired views and services included."""
    return Definitions(
        entities=tuple(registry.list_entities(PROJECT)),
        views=tuple(registry.list_feature_views(PROJECT)),
        services=tuple(registry.list_feature_services(PROJECT)),
    )


def check_only_grows(before: Definitions, defined: Definitions) -> None:
    """Refuses what would fail, or silently miss a feature, in an app that runs.

    Raises:
        NearlineError: a view lost or changed a field or its key, or a service lost a
            feature, under the same name.
    """
    views = {view.name: view for view in defined.views}
    for old in before.views:
        new = views.get(old.name)
        if new is None:
            continue
        if list(new.entities) != list(old.entities):
            raise NearlineError(
                f"feature view {old.name}: its entity changed; {_next_version(old)}"
            )
        for field in old.features:
            if field not in new.features:
                raise NearlineError(
                    f"feature view {old.name}: field {field.name} changed or is gone; "
                    f"{_next_version(old)}"
                )
    services = {service.name: service for service in defined.services}
    for service in before.services:
        if service.name not in services:
            continue
        lost = _features(service) - _features(services[service.name])
        if lost:
            raise NearlineError(
                f"feature service {service.name}: {min(lost)} is gone; "
                "apps rely on it; offer what is new under the service's next version, "
                f"as in `services: [{_next_service(service.name)}]` in the YAML"
            )


def register_views(registry: "BaseRegistry", defined: Definitions) -> None:
    """Registers entities, sources and views that are new or changed."""
    before = registered(registry)
    entities = {entity.name: entity for entity in before.entities}
    for entity in defined.entities:
        if entities.get(entity.name) != entity:
            registry.apply_entity(entity, PROJECT)
    views = {view.name: view for view in before.views}
    sources = {source.name: source for source in registry.list_data_sources(PROJECT)}
    for view in defined.views:
        source = view.batch_source
        if source is not None and sources.get(source.name) != source:
            registry.apply_data_source(source, PROJECT)
        if views.get(view.name) != view:
            registry.apply_feature_view(view, PROJECT)


def register_services(
    registry: "BaseRegistry",
    defined: Definitions,
    registry_ttl: timedelta,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Registers services that are new or changed, once readers know their views.

    Waits only where a service that is in use is pointed at something new, and then at
    most `registry_ttl` and a second.
    """
    before = {
        service.name: service for service in registry.list_feature_services(PROJECT)
    }
    for service in defined.services:
        known = before.get(service.name)
        if known == service:
            continue
        if known is not None:
            news = _references(service) - _references(known)
            seen_at = _registered_at(registry, {view for view, _ in news})
            if seen_at is not None:
                left = seen_at + registry_ttl + _MARGIN - clock()
                if left > timedelta(0):
                    pause(left.total_seconds())
        registry.apply_feature_service(service, PROJECT)


def _registered_at(registry: "BaseRegistry", views: Iterable[str]) -> datetime | None:
    """When the youngest of these views got its present form."""
    moments = [
        moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        for name in views
        if (moment := registry.get_feature_view(name, PROJECT).last_updated_timestamp)
    ]
    return max(moments, default=None)


def _features(service: "FeatureService") -> set[str]:
    return {feature for _, feature in _references(service)}


def _references(service: "FeatureService") -> set[tuple[str, str]]:
    return {
        (projection.name, field.name)
        for projection in service.feature_view_projections
        for field in projection.features
    }


def _next_service(name: str) -> str:
    named = _VERSIONED.fullmatch(name)
    return f"{named['name']}_v{int(named['version']) + 1}" if named else f"{name}_v2"


def _next_version(view: "FeatureView") -> str:
    """What to do instead of changing `view`, in words of the YAML that describes it."""
    named = _VERSIONED.fullmatch(view.name)
    reason = "a running app would fail at it"
    if named is None:
        return f"{reason}; define the view anew under its next version"
    name, version = named["name"], int(named["version"]) + 1
    table = Path(view.batch_source.path).stem  # type: ignore[union-attr]
    beside = f"{table.removesuffix(f'_v{version - 1}')}_v{version}"
    return (
        f"{reason}; leave {table} as it was and add a model {beside} beside it, whose "
        f"YAML says `name: {name}` and `version: {version}`"
    )

"""Live features for triggers: which there are, and a visitor's values from Feast.

Belongs here: the check that a feature can be asked for, and reading it through
`FeatureReader`. Feast is imported when values are first wanted.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearline.errors import InputError, NearlineError
from nearline.feature_views import DescribedView, find_feature_views
from nearline.settings import Settings
from nearline.triggers.definitions import OnFeature, Trigger, Triggers

if TYPE_CHECKING:
    from nearline.online.reading import FeatureReader

_LOGGER = logging.getLogger(__name__)


def features_of(trigger: Trigger) -> Iterator[str]:
    """Names of the features that a trigger asks for."""
    if isinstance(trigger.on, OnFeature):
        yield trigger.on.condition.field
    yield from (condition.field for condition in trigger.features)


def check_features(triggers: Triggers, dbt_project: Path) -> tuple[str, ...]:
    """The services in which the features of all triggers are.

    Raises:
        InputError: a trigger asks for what no service of visitors has.
    """
    wanted = {
        feature: trigger.name
        for trigger in reversed(triggers.triggers)
        for feature in features_of(trigger)
    }
    if not wanted:
        return ()
    services: dict[str, str] = {}
    # Of a name that both have, the visitor's own.
    views = sorted(
        find_feature_views(dbt_project), key=lambda view: view.entity != "visitor"
    )
    for view in views:
        if view.join_key == "visitor_id" and view.services:
            for feature in view.features:
                services.setdefault(feature.name, _service(view))
    for name, trigger in sorted(wanted.items()):
        if name not in services:
            raise InputError(
                f"{trigger}: there is no feature {name} of visitors; "
                "docs/features.md says where they are described"
            )
    return tuple(sorted({services[name] for name in wanted}))


class LiveFeatures:
    """A visitor's values in these services now. `close` it."""

    def __init__(self, settings: Settings, services: tuple[str, ...]) -> None:
        self._settings = settings
        self._services = services
        self._readers: list[FeatureReader] = []

    def __call__(self, visitor_id: str) -> Mapping[str, Any] | None:
        """None where the store cannot be asked now."""
        try:
            values: dict[str, Any] = {}
            for reader in self._opened():
                [found] = reader.read([visitor_id])
                values |= found.values
            return values
        except NearlineError as problem:
            _LOGGER.warning("no features: %s", problem)
        except Exception as problem:
            # Feast raises what its store raises.
            _LOGGER.warning("no features: %s", type(problem).__name__)
        self.close()
        return None

    def close(self) -> None:
        for reader in self._readers:
            with suppress(Exception):
                reader.close()
        self._readers = []

    def _opened(self) -> "list[FeatureReader]":
        if not self._readers:
            from nearline.online.reading import FeatureReader

            self._readers = [
                FeatureReader(self._settings, service) for service in self._services
            ]
        return self._readers


def _service(view: DescribedView) -> str:
    return sorted(view.services)[-1]

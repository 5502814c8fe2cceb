"""Live features for triggers: which there are, and a visitor's values from Feast.

Belongs here: the check that a feature can be asked for, and reading it through
`FeatureReader`. Feast is imported when values are first wanted.
"""

import logging
import time
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

_TRY_EVERY_SECONDS = 10.0


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
    """A visitor's values in these services now. `close` it.

    Opening takes seconds, so it is done by `open`, and never while a visitor is judged.
    """

    def __init__(self, settings: Settings, services: tuple[str, ...]) -> None:
        self._settings = settings
        self._services = services
        self._readers: list[FeatureReader] = []
        self._tried_at = float("-inf")

    def open(self) -> None:
        """Opens the store where it is not open; after a failure not at once again."""
        now = time.monotonic()
        if self._readers or now - self._tried_at < _TRY_EVERY_SECONDS:
            return
        self._tried_at = now
        from nearline.online.reading import FeatureReader

        try:
            for service in self._services:
                self._readers.append(FeatureReader(self._settings, service))
        except Exception as problem:
            self._give_up(problem)

    def __call__(self, visitor_id: str) -> Mapping[str, Any] | None:
        """None where the store cannot be asked now."""
        if not self._readers:
            return None
        try:
            values: dict[str, Any] = {}
            for reader in self._readers:
                [found] = reader.read([visitor_id])
                values |= found.values
        except Exception as problem:
            self._give_up(problem)
            return None
        return values

    def close(self) -> None:
        for reader in self._readers:
            with suppress(Exception):
                reader.close()
        self._readers = []

    def _give_up(self, problem: Exception) -> None:
        # Feast raises what its store raises, and its text may hold anything.
        is_ours = isinstance(problem, NearlineError)
        _LOGGER.warning(
            "no features: %s", problem if is_ours else type(problem).__name__
        )
        self.close()


def _service(view: DescribedView) -> str:
    return sorted(view.services)[-1]

"""Live features for triggers: which services are needed, and a visitor's values from them.

Belongs here: when the store is opened, and that a store that is away is no value. It is read
as decisions read it (`nearline.decisions.features`). Feast is imported when values are first
wanted.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from nearline.decisions.features import FeatureSource
from nearline.decisions.knowing import values_of
from nearline.decisions.vocabulary import PERSON_SERVICE, SERVICE, services_of
from nearline.settings import Settings
from nearline.triggers.definitions import OnFeature, Triggers

_LOGGER = logging.getLogger(__name__)

_TRY_EVERY_SECONDS = 10.0


def needed_services(triggers: Triggers) -> frozenset[str]:
    """The services of the features that any trigger asks for."""
    conditions = [trigger.when for trigger in triggers.triggers]
    conditions += [
        trigger.on.condition
        for trigger in triggers.triggers
        if isinstance(trigger.on, OnFeature)
    ]
    return frozenset().union(*map(services_of, conditions))


class LiveFeatures:
    """A visitor's values in these services now, by the names of conditions. `close` it.

    Opening takes seconds, so it is done by `open`, and never while a visitor is judged.
    """

    def __init__(self, settings: Settings, services: frozenset[str]) -> None:
        self._source = FeatureSource(settings)
        self._services = services
        self._tried_at = float("-inf")
        self._is_open = False

    def open(self) -> None:
        """Opens the store where it is not open; after a failure not at once again."""
        now = time.monotonic()
        if self._is_open or now - self._tried_at < _TRY_EVERY_SECONDS:
            return
        self._tried_at = now
        self._is_open = self._source.open(self._services)

    def __call__(self, visitor_id: str) -> Mapping[str, Any] | None:
        """None where the store cannot be asked now."""
        if not self._is_open:
            return None
        try:
            found = {
                service: self._source.read(visitor_id, service)
                for service in sorted(self._services)
            }
        except Exception as problem:
            # Feast raises what its store raises, and its text may hold anything.
            _LOGGER.warning("no features (%s)", type(problem).__name__)
            self.close()
            return None
        return values_of(found.get(SERVICE), found.get(PERSON_SERVICE))

    def close(self) -> None:
        self._source.close()
        self._is_open = False

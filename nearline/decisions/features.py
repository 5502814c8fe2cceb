"""A visitor's features from the online store, opened beside the requests that need them.

Belongs here: that a service starts, and answers, while the store is away. Not here: time
budgets (`stages`), or reading itself (`nearline.online.reading`).
"""

import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from nearline.decisions.vocabulary import SERVICE

if TYPE_CHECKING:
    from nearline.online.reading import EntityFeatures, FeatureReader, OpenStore
    from nearline.served.log import ServedLog
    from nearline.settings import Settings

_LOGGER = logging.getLogger(__name__)

_NOBODY = "v_nobody00"

STORE_AWAY = "store_unavailable"
STORE_SLOW = "store_slow"


class Features(Protocol):
    """Where a visitor's features come from. May be asked from several threads."""

    @property
    def is_open(self) -> bool: ...

    def open(self, services: Collection[str] = (SERVICE,)) -> bool:
        """Tries to open what is not open of the services; whether all of them are."""
        ...

    def read(self, visitor_id: str, service: str = SERVICE) -> "EntityFeatures | None":
        """A visitor's features in a service; None while that is not open."""
        ...

    def close(self) -> None: ...


class FeatureSource:
    """Holds a reader once there is one; safe to read from several threads."""

    def __init__(
        self,
        settings: "Settings",
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        log: "ServedLog | None" = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._log = log
        self._store: OpenStore | None = None
        self._readers: dict[str, FeatureReader] = {}
        self._problem: str | None = None

    @property
    def is_open(self) -> bool:
        return SERVICE in self._readers

    def open(self, services: Collection[str] = (SERVICE,)) -> bool:
        """Opens the store if it can be; takes seconds. Whether all of it is open."""
        for service in sorted(set(services) - self._readers.keys()):
            from nearline.online.reading import FeatureReader, OpenStore

            try:
                self._store = self._store or OpenStore(self._settings)
                reader = FeatureReader(
                    self._settings,
                    service,
                    store=self._store,
                    clock=self._clock,
                    log=self._log,
                )
                # The first read is many times slower than the next, and would be late.
                reader.read([_NOBODY])
            except Exception as problem:
                # Whatever it is, decisions go on without; Feast and its stores raise
                # anything.
                kind = type(problem).__name__
                if kind != self._problem:
                    _LOGGER.warning("%s cannot be opened (%s)", service, kind)
                self._problem = kind
                self._store = None
                return False
            self._readers[service] = reader
        self._problem = None
        return True

    def read(self, visitor_id: str, service: str = SERVICE) -> "EntityFeatures | None":
        """A visitor's features in a service; None while that is not open."""
        reader = self._readers.get(service)
        if reader is None:
            return None
        (found,) = reader.read([visitor_id])
        return found

    def close(self) -> None:
        """May be opened again."""
        readers, self._readers = self._readers, {}
        self._store = None
        for reader in readers.values():
            with suppress(Exception):
                reader.close()

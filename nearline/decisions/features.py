"""A visitor's features from the online store, opened beside the requests that need them.

Belongs here: that a service starts, and answers, while the store is away. Not here: time
budgets (`stages`), or reading itself (`nearline.online.reading`).
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from nearline.decisions.vocabulary import SERVICE

if TYPE_CHECKING:
    from nearline.online.reading import EntityFeatures, FeatureReader
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

    def open(self) -> bool:
        """Tries to open it; whether it is open."""
        ...

    def read(self, visitor_id: str) -> "EntityFeatures | None":
        """A visitor's features; None while it is not open."""
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
        self._reader: FeatureReader | None = None
        self._problem: str | None = None

    @property
    def is_open(self) -> bool:
        return self._reader is not None

    def open(self) -> bool:
        """Opens the store if it can be; takes seconds. Whether it is open."""
        if self._reader is not None:
            return True
        from nearline.online.reading import FeatureReader

        try:
            reader = FeatureReader(
                self._settings, SERVICE, clock=self._clock, log=self._log
            )
            # The first read is many times slower than the next, and would be late.
            reader.read([_NOBODY])
        except Exception as problem:
            # Whatever it is, decisions go on without; Feast and its stores raise anything.
            kind = type(problem).__name__
            if kind != self._problem:
                _LOGGER.warning("the online store cannot be opened (%s)", kind)
            self._problem = kind
            return False
        self._reader = reader
        self._problem = None
        return True

    def read(self, visitor_id: str) -> "EntityFeatures | None":
        """A visitor's features; None while the store is not open."""
        reader = self._reader
        if reader is None:
            return None
        (found,) = reader.read([visitor_id])
        return found

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

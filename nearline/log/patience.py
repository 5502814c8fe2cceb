"""Going on over outages of the log: a step is tried until the log answers."""

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from nearline.log.protocol import LogUnavailableError

_LOGGER = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 10.0

Result = TypeVar("Result")


def try_until_answered(
    step: Callable[[], Result], stopping: threading.Event, first_wait_seconds: float
) -> Result | None:
    """What `step` gives; None where `stopping` was set before the log answered.

    Args:
        first_wait_seconds: before the second attempt; twice as long before each further
            one, up to 10 seconds.
    """
    wait_seconds = first_wait_seconds
    while not stopping.is_set():
        try:
            return step()
        except LogUnavailableError as problem:
            _LOGGER.warning("waiting: %s", problem)
            stopping.wait(wait_seconds)
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
    return None

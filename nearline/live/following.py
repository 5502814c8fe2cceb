"""Runs the processor for as long as it is wanted, over outages of what it needs."""

import logging
import threading
import time
from collections.abc import Callable

from nearline.live.processor import Batch, Processor
from nearline.log import LogUnavailableError
from nearline.online.values import OnlineStoreUnavailableError

_LOGGER = logging.getLogger(__name__)

SHORTEST_BATCH_SECONDS = 0.05
"""Batches start at least so far apart: what comes in between is one batch. Under load a
batch takes longer than this, and the next one is as large as what has come meanwhile."""

LONGEST_WAIT_SECONDS = 10.0


def follow(
    processor: Processor,
    stopping: threading.Event,
    *,
    until_idle: bool = False,
    on_batch: Callable[[Batch], None] = lambda batch: None,
    on_wait: Callable[[str], None] = lambda part: None,
) -> None:
    """Runs batch after batch until `stopping` is set, or nothing is left to do.

    Where the log or the online store is away, the position stays and the same batch is
    tried again, after 0.1 to 10 seconds.
    """
    wait_seconds = 0.1
    while not stopping.is_set():
        started = time.monotonic()
        try:
            batch = processor.run_batch()
        except (LogUnavailableError, OnlineStoreUnavailableError) as problem:
            is_log = isinstance(problem, LogUnavailableError)
            on_wait("log" if is_log else "store")
            _LOGGER.warning("waiting: %s", problem)
            stopping.wait(wait_seconds)
            wait_seconds = min(wait_seconds * 2, LONGEST_WAIT_SECONDS)
            continue
        wait_seconds = 0.1
        on_batch(batch)
        if until_idle and batch.is_idle:
            return
        left = SHORTEST_BATCH_SECONDS - (time.monotonic() - started)
        if left > 0:
            stopping.wait(left)

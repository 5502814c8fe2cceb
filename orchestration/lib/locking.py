"""One run at a time: a lock on the warehouse that says who holds it.

The kernel releases the lock when its holder dies, so a killed run leaves nothing to
clear away.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

import dagster as dg

from nearline.errors import LockedError
from nearline.publication.rebuilds import discard_rebuild
from nearline.settings import Settings, load_settings

_SECONDS_BETWEEN_TRIES = 1.0


class RunLock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Held from the first to the last step of a run that writes."""

    wait_seconds: float = 0
    """How long to wait for another run to end. A backfill of many days queues its runs;
    somebody who starts a run by hand wants to be told at once."""

    @contextmanager
    def yield_for_execution(
        self, context: dg.InitResourceContext
    ) -> Iterator["RunLock"]:
        settings = load_settings()
        run = context.run
        with hold_run_lock(settings, self.wait_seconds):
            discard_rebuild(settings, run and (run.root_run_id or run.run_id))
            yield self


@contextmanager
def hold_run_lock(settings: Settings, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the warehouse, waiting so long at most for who has it.

    Raises:
        LockedError: another run has it; the message says which and since when.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with settings.run_lock.open("a+") as file:
        _lock(file, time.monotonic() + wait_seconds)
        file.truncate(0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        file.write(f"process {os.getpid()}, since {now}")
        file.flush()
        yield
        file.truncate(0)


def _lock(file: IO[str], deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            if time.monotonic() >= deadline:
                raise LockedError(_who_holds(file)) from problem
            time.sleep(_SECONDS_BETWEEN_TRIES)
        else:
            return


def _who_holds(file: IO[str]) -> str:
    file.seek(0)
    holder = file.read().strip() or "another process"
    return (
        f"another run holds the warehouse ({holder}); "
        "wait until it has finished, then run again. Nothing was changed"
    )

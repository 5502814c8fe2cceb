"""One run at a time: a lock on the warehouse that says who holds it.

The kernel releases the lock when its holder dies, so a killed run leaves nothing to
clear away.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO

import dagster as dg

from nearline.errors import LockedError
from nearline.settings import Settings, load_settings


class RunLock(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Held from the first to the last step of a run that writes."""

    @contextmanager
    def yield_for_execution(
        self, context: dg.InitResourceContext
    ) -> Iterator["RunLock"]:
        with hold_run_lock(load_settings()):
            yield self


@contextmanager
def hold_run_lock(settings: Settings) -> Iterator[None]:
    """Holds the warehouse.

    Raises:
        LockedError: another run has it; the message says which and since when.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with settings.run_lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise LockedError(_who_holds(file)) from problem
        file.truncate(0)
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        file.write(f"process {os.getpid()}, since {now}")
        file.flush()
        yield
        file.truncate(0)


def _who_holds(file: IO[str]) -> str:
    file.seek(0)
    holder = file.read().strip() or "another process"
    return (
        f"another run holds the warehouse ({holder}); "
        "wait until it has finished, then run again. Nothing was changed"
    )

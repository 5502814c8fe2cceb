"""Follows the event log and keeps what recommendations rest on seconds behind it.

Belongs here: from where the log is read, and when a newer file is put in place. Not here:
what is counted (`running`). It reads the log by itself, beside `nearline live`, which is
not made slower by it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import NearlineError
from nearline.file_stamps import file_stamp
from nearline.landing.log_positions import log_identity
from nearline.log import EVENTS, EventLog, open_log
from nearline.log.patience import try_until_answered
from nearline.models import NoChampion, load_champion, state_file
from nearline.recommend.arriving import Arriving
from nearline.recommend.artifacts import read_learnt
from nearline.recommend.fresh import write_fresh
from nearline.recommend.running import VISIT_GAP_SECONDS, Running
from nearline.recommend.serving import fresh_path
from nearline.recommend.training import MODEL_NAME
from nearline.recommend.warehouse import read_open_sessions
from nearline.replacement import replace_file

if TYPE_CHECKING:
    import threading

    from nearline.settings import Settings

_LOGGER = logging.getLogger(__name__)

MAX_RECORDS = 5_000
POLL_SECONDS = 0.5
WRITE_EVERY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Step:
    """What one look at the log brought."""

    records: int = 0
    touches: int = 0
    is_written: bool = False


class Follower:
    """One home's follower. `close` it.

    Args:
        write_every: seconds between two files, at least.
    """

    def __init__(
        self,
        settings: "Settings",
        *,
        write_every: float = WRITE_EVERY_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._write_every = write_every
        self._clock = clock
        self._log: EventLog | None = None
        self._arriving: Arriving | None = None
        self._release: Path | None = None
        self._running: Running | None = None
        self._positions: dict[int, int] = {}
        self._champion: object = None
        self._suppression: object = None
        self._written_at = float("-inf")
        self._is_changed = False
        self.model_version: int | None = None

    def close(self) -> None:
        for opened in (self._log, self._arriving):
            if opened is not None:
                opened.close()

    def step(self) -> Step:
        """Reads once, as far as there is something; writes if it is time to.

        Raises:
            LogUnavailableError: the log is away; nothing was changed.
        """
        self._follow_champion()
        if self._running is None:
            return Step()
        arriving = self._follow_release()
        records, touches = self._read(self._running, arriving)
        is_due = time.monotonic() - self._written_at >= self._write_every
        if self._is_changed and is_due:
            self.write()
            return Step(records, touches, is_written=True)
        return Step(records, touches)

    def write(self) -> None:
        """Puts a file in place that holds all that was read."""
        if self._running is not None:
            fresh = self._running.snapshot()
            replace_file(
                fresh_path(self._settings), lambda file: write_fresh(fresh, file)
            )
            self._written_at = time.monotonic()
            self._is_changed = False

    def _read(self, running: Running, arriving: Arriving) -> tuple[int, int]:
        if self._log is None:
            if self._settings.log_kind == "sqlite":
                self._settings.log.mkdir(parents=True, exist_ok=True)
            self._log = open_log(self._settings, EVENTS)
        records = touches = 0
        for partition in self._log.partitions():
            found = self._log.read(
                partition, self._positions.get(partition, 0), MAX_RECORDS
            )
            if found:
                touches += running.add(arriving.touches(found, self._clock()))
                self._positions[partition] = found[-1].offset + 1
                records += len(found)
        self._is_changed |= touches > 0
        return records, touches

    def _follow_champion(self) -> None:
        """Begins anew with the version that serves, from where its data end."""
        stamp = file_stamp(state_file(self._settings.models, MODEL_NAME))
        if stamp is None or stamp == self._champion:
            return
        found = load_champion(self._settings.models, MODEL_NAME, read_learnt)
        self._champion = stamp
        if isinstance(found, NoChampion):
            _LOGGER.warning("nothing to follow: %s", found.reason)
            return
        if found.card.version == self.model_version:
            return
        facts = found.card.facts
        running = Running(found.model, str(found.card.version))
        folder = self._settings.releases / facts.release_id
        if folder.exists():
            rows = read_open_sessions(self._settings, folder, VISIT_GAP_SECONDS)
            running.open_visits(zip(*rows.to_pydict().values(), strict=True))
        is_this_log = facts.details.get("log") == log_identity(self._settings)
        positions: Mapping[str, int] = facts.details.get("log_positions", {})
        self._positions = (
            {int(place): offset for place, offset in positions.items()}
            if is_this_log
            else {}
        )
        self._running = running
        self.model_version = found.card.version
        # Readers of the new version have nothing laid over it until this is there.
        self._is_changed, self._written_at = True, float("-inf")

    def _follow_release(self) -> Arriving:
        published = self._settings.published.resolve()
        if self._arriving is None or published != self._release:
            if self._arriving is not None:
                self._arriving.close()
            self._arriving = Arriving(self._settings, published)
            self._release = published
            self._suppression = file_stamp(self._settings.suppression)
        stamp = file_stamp(self._settings.suppression)
        if stamp != self._suppression:
            self._arriving.follow_suppression()
            self._suppression = stamp
        return self._arriving


def follow(
    follower: Follower,
    stopping: "threading.Event",
    *,
    until_idle: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> None:
    """Steps until `stopping` is set, or nothing is left to read.

    Where the log is away, it is tried again after 0.5 to 10 seconds.
    """
    while (
        step := try_until_answered(follower.step, stopping, POLL_SECONDS)
    ) is not None:
        on_step(step)
        if not step.records:
            if until_idle:
                break
            stopping.wait(POLL_SECONDS)
    with suppress(NearlineError):
        follower.write()

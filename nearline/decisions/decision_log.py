"""Writes decisions to the event log beside the requests: nobody waits for it.

Belongs here: the queue, its bound, what is dropped and that the rest is written at the
end. Not here: what is written (`decision_events`).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence

from nearline.collector.writing import LogWriter, Records
from nearline.log.protocol import LogUnavailableError, NewRecord

_LOGGER = logging.getLogger(__name__)

Make = Callable[[], NewRecord]

MOST_WAITING = 20_000
_MOST_TOGETHER = 500
_PAUSE_SECONDS = 0.5
_SECONDS_TO_FINISH = 10.0


class DecisionLog:
    """Takes what is to be recorded; one event loop only.

    Where the log is away, up to `most_waiting` decisions wait for it; those beyond are
    dropped and told to `on_dropped`. A decision is given twice to the log where it is not
    known whether it took it: readers tell events apart by their id.
    """

    def __init__(
        self,
        writer: LogWriter,
        *,
        most_waiting: int = MOST_WAITING,
        on_written: Callable[[int], None] = lambda count: None,
        on_dropped: Callable[[int], None] = lambda count: None,
        pause_seconds: float = _PAUSE_SECONDS,
    ) -> None:
        self._writer = writer
        self._most_waiting = most_waiting
        self._on_written = on_written
        self._on_dropped = on_dropped
        self._pause_seconds = pause_seconds
        self._waiting: deque[Make] = deque()
        self._given: list[NewRecord] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def add(self, make: Make) -> bool:
        """Takes a function that gives the record; False where it was dropped."""
        if len(self._waiting) >= self._most_waiting:
            self._on_dropped(1)
            return False
        self._waiting.append(make)
        self._wake.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return True

    async def close(self, seconds: float = _SECONDS_TO_FINISH) -> None:
        """Writes what waits, for so long at most; the rest is dropped."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._task, seconds)
        if left := len(self._waiting) + len(self._given):
            _LOGGER.warning("%d decisions were not logged", left)
            self._on_dropped(left)

    async def _run(self) -> None:
        while self._waiting or self._given or not self._is_closing:
            if not (self._waiting or self._given):
                self._wake.clear()
                await self._wake.wait()
                continue
            if not self._given:
                self._given = self._made()
            try:
                await self._writer.append(Records(self._given))
            except LogUnavailableError:
                await asyncio.sleep(self._pause_seconds)
            else:
                self._on_written(len(self._given))
                self._given = []

    def _made(self) -> list[NewRecord]:
        count = min(len(self._waiting), _MOST_TOGETHER)
        makes: Sequence[Make] = [self._waiting.popleft() for _ in range(count)]
        made = []
        for make in makes:
            try:
                made.append(make())
            except Exception as problem:
                # A defect of ours: the rest is written all the same. What it says may
                # quote the record, so its kind is all that is told.
                kind = type(problem).__name__
                _LOGGER.error("a decision cannot be recorded (%s)", kind)
                self._on_dropped(1)
        return made

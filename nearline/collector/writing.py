"""Puts what came through the door into the log, durably, before anybody is answered.

Requests that meet are appended together: the log's sync costs the same for one and for
many. Appends run in one thread beside the event loop, so that answers, health checks and
refusals go on while the log is slow.
"""

import asyncio
import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from nearline.log.opening import open_log
from nearline.log.protocol import (
    DEADLETTERS,
    EVENTS,
    EventLog,
    LogUnavailableError,
    NewRecord,
)
from nearline.settings import Settings

_LOGGER = logging.getLogger(__name__)

_MOST_WAITING_BYTES = 64_000_000
_MOST_TOGETHER_BYTES = 8_000_000
_UNREADY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Records:
    """What one request wants to have kept."""

    events: Sequence[NewRecord]
    deadletters: Sequence[NewRecord] = ()

    @property
    def byte_count(self) -> int:
        return sum(len(record.value) for record in (*self.events, *self.deadletters))


@dataclass(slots=True)
class _Waiting:
    records: Records
    byte_count: int
    done: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class LogWriter:
    """The event log as a collector's worker uses it. One event loop only."""

    def __init__(
        self,
        settings: Settings,
        on_append: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._settings = settings
        self._on_append = on_append
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._logs: dict[str, EventLog] = {}
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._drain: asyncio.Task[None] | None = None
        self._failed_at: float | None = None

    async def append(self, records: Records) -> None:
        """Returns when all records are durable.

        Raises:
            LogUnavailableError: they may or may not be; the sender has to try again.
        """
        if not records.events and not records.deadletters:
            return
        byte_count = records.byte_count
        if self._waiting_bytes + byte_count > _MOST_WAITING_BYTES:
            raise LogUnavailableError("too much is waiting for the log")
        waiting = _Waiting(records, byte_count)
        self._waiting.append(waiting)
        self._waiting_bytes += byte_count
        if self._drain is None or self._drain.done():
            self._drain = asyncio.create_task(self._append_waiting())
        # A request that is given up does not take the others' append with it.
        await asyncio.shield(waiting.done)

    async def is_ready(self) -> bool:
        """Whether the log answers, and has taken what it was given last.

        A failure counts for some seconds only: without requests nothing would ever show
        that the log is back.
        """
        if (
            self._failed_at is not None
            and time.monotonic() - self._failed_at < _UNREADY_SECONDS
        ):
            return False
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._look)
        except LogUnavailableError:
            return False
        return True

    async def read(
        self, reader: Callable[[EventLog], list[tuple[str, str]]]
    ) -> list[tuple[str, str]]:
        """Runs a reader of the events' log beside the event loop."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(
                self._thread, lambda: reader(self._log(EVENTS))
            )
        except LogUnavailableError:
            return []

    async def close(self) -> None:
        """Finishes what was begun and closes the log."""
        if self._drain is not None:
            await self._drain
        self._thread.shutdown(wait=True)
        for log in self._logs.values():
            log.close()

    async def _append_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            together = self._next_together()
            records = [waiting.records for waiting in together]
            started_at = time.monotonic()
            try:
                await loop.run_in_executor(self._thread, self._append, records)
            except BaseException as problem:
                self._failed_at = time.monotonic()
                for waiting in together:
                    if not waiting.done.done():
                        waiting.done.set_exception(_as_unavailable(problem))
                        # Nobody may be left to ask.
                        with contextlib.suppress(BaseException):
                            waiting.done.exception()
                if not isinstance(problem, Exception):
                    raise
            else:
                self._failed_at = None
                self._on_append(time.monotonic() - started_at)
                for waiting in together:
                    if not waiting.done.done():
                        waiting.done.set_result(None)
            finally:
                self._waiting_bytes -= sum(waiting.byte_count for waiting in together)

    def _next_together(self) -> list[_Waiting]:
        size = 0
        count = 0
        for waiting in self._waiting:
            size += waiting.byte_count
            if count and size > _MOST_TOGETHER_BYTES:
                break
            count += 1
        together, self._waiting = self._waiting[:count], self._waiting[count:]
        return together

    def _append(self, together: list[Records]) -> None:
        events = [record for records in together for record in records.events]
        letters = [record for records in together for record in records.deadletters]
        if letters:
            self._log(DEADLETTERS).append(letters)
        if events:
            self._log(EVENTS).append(events)

    def _look(self) -> None:
        self._log(EVENTS).ends()
        self._log(DEADLETTERS)

    def _log(self, topic: str) -> EventLog:
        # At first use: a collector starts while its log is away.
        if topic not in self._logs:
            self._logs[topic] = open_log(self._settings, topic)
        return self._logs[topic]


def _as_unavailable(problem: BaseException) -> BaseException:
    if isinstance(problem, LogUnavailableError) or not isinstance(problem, Exception):
        return problem
    if not isinstance(problem, OSError):
        # A defect of ours: senders keep their events and try again, as if the log were
        # away. The message may quote a record, so the trace is all that is told.
        trace = "".join(traceback.format_tb(problem.__traceback__))
        _LOGGER.error("appending failed (%s)\n%s", type(problem).__name__, trace)
    return LogUnavailableError("the log cannot be used now")

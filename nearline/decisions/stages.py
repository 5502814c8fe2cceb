"""A stage of a decision with a time budget: an answer in time, or the reason why not.

Belongs here: threads, budgets and leaving alone for a moment what has not answered again
and again. Not here: what is done instead (`service`).
"""

import asyncio
import logging
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

_LOGGER = logging.getLogger(__name__)

_Result = TypeVar("_Result")

Failure = Literal["slow", "busy", "failed"]

_FAILURES_TO_REST = 5
_REST_SECONDS = 1.0
_TRACE_EVERY_SECONDS = 10.0


class StageError(Exception):
    """A stage gave nothing in time. `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure: Failure = failure


class Stage:
    """Runs functions in threads of its own, for at most `budget_seconds` each.

    What is late goes on in its thread (a read cannot be broken off), and its result is
    dropped. While all threads hang, requests wait in vain for their budget at most; after
    some in a row nobody waits for a second, so that a store that is away costs no time.
    One event loop only.
    """

    def __init__(
        self,
        name: str,
        budget_seconds: float,
        *,
        threads: int,
        most_waiting: int,
        observe: Callable[[float], None] = lambda seconds: None,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._budget_seconds = budget_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most_waiting = most_waiting
        self._observe = observe
        self._ticks = ticks
        self._waiting = 0
        self._failures = 0
        self._rests_until = float("-inf")
        self._traced_at = float("-inf")

    async def run(self, function: Callable[[], _Result]) -> _Result:
        """The function's result.

        Raises:
            StageError: it took too long, failed, or too many wait already.
        """
        started_at = self._ticks()
        if started_at < self._rests_until:
            raise StageError("slow")
        if self._waiting >= self._most_waiting:
            raise StageError("busy")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, function)
        future.add_done_callback(self._done)
        try:
            found = await asyncio.wait_for(asyncio.shield(future), self._budget_seconds)
        except TimeoutError:
            # One that has not begun never will.
            future.cancel()
            self._note_failure()
            raise StageError("slow") from None
        except Exception as problem:
            self._note_failure()
            self._trace(problem)
            raise StageError("failed") from None
        self._failures = 0
        self._observe(self._ticks() - started_at)
        return found

    def close(self) -> None:
        """Lets go of the threads without waiting for what hangs."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: "asyncio.Future[Any]") -> None:
        self._waiting -= 1
        if not future.cancelled():
            # Nobody may be left to ask, and asyncio would complain.
            future.exception()

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures >= _FAILURES_TO_REST:
            self._rests_until = self._ticks() + _REST_SECONDS
            self._failures = 0

    def _trace(self, problem: Exception) -> None:
        # At ten times the load of a store that is away, ten thousand lines say no more.
        if self._ticks() - self._traced_at < _TRACE_EVERY_SECONDS:
            return
        self._traced_at = self._ticks()
        # The message may quote what was asked for, so the trace is all that is told.
        trace = "".join(traceback.format_tb(problem.__traceback__))
        _LOGGER.warning("%s failed (%s)\n%s", self._name, type(problem).__name__, trace)

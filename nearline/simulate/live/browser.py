"""What a browser sends: events to the collector, questions and outcomes to decisions.

Belongs here: HTTP, trying again as the tracker does, and counting what went wrong. Not
here: what is sent when (`visit`).
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
import urllib3

from nearline.decisions.client import (
    SERVICE_AWAY,
    Context,
    DecisionsClient,
    DecisionsRefusedError,
    DecisionsUnavailableError,
    Outcome,
    SlotContent,
)
from nearline.errors import InputError

AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36"
)
"""A person's: whoever names a program is taken for a machine."""

_TRIES = 4
_FIRST_WAIT_SECONDS = 0.2
_TIMEOUT_SECONDS = 15.0

Result = TypeVar("Result")


@dataclass(slots=True)
class Traffic:
    """What was sent, and what came of it. `problems` are counted by what they are."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    decide_seconds: list[float] = field(default_factory=list)


class Browsers:
    """All browsers together: so many requests at a time, over connections kept open."""

    def __init__(
        self, collector_url: str, decisions_url: str, key: str, *, connections: int
    ) -> None:
        """Nothing is connected to yet.

        Args:
            key: of the collector and of the decisions service, which must be of one
                source: else a visitor has another pseudonym in each.
        """
        self.traffic = Traffic()
        self._collector_url = collector_url.rstrip("/")
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": AGENT,
            "X-Nearline-Key": key,
        }
        # Decisions and events have threads of their own: a question that waits behind
        # events would be answered too late to be shown.
        self._events_pool = ThreadPoolExecutor(connections, "events")
        self._asking_pool = ThreadPoolExecutor(connections, "decisions")
        self._http = urllib3.PoolManager(
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(total=_TIMEOUT_SECONDS),
        )
        self._client = DecisionsClient(
            decisions_url,
            key,
            timeout_seconds=_TIMEOUT_SECONDS,
            connections=connections,
            agent=AGENT,
        )

    def close(self) -> None:
        self._events_pool.shutdown()
        self._asking_pool.shutdown()
        self._client.close()
        self._http.clear()

    def check(self, slot: str) -> SlotContent:
        """Asks once, as somebody who allows nothing; leaves no record.

        Raises:
            InputError: a service is away, refuses the key, or knows no such slot.
        """
        try:
            status = self._http.request("GET", f"{self._collector_url}/healthz").status
        except (urllib3.exceptions.HTTPError, ValueError):
            status = 0
        if status != 200:
            raise InputError(
                "--collector: no collector answers there; start `nearline collector`"
            )
        try:
            shown = self._client.decide("nobody", [slot], Context())[slot]
        except DecisionsRefusedError as problem:
            raise InputError(f"--live: the request is refused: {problem}") from None
        except KeyError:
            raise InputError(
                "--live: what answers there is no decisions service; give the URL of "
                "`nearline serve`"
            ) from None
        if shown.fallback == SERVICE_AWAY:
            raise InputError(
                "--live: no decisions service answers there; start `nearline serve`"
            )
        if shown.fallback == "unknown_slot":
            raise InputError(
                "--slot: the service has no such slot; name one of its policy files"
            )
        return shown

    async def send(self, events: Sequence[Mapping[str, Any]]) -> bool:
        """Gives events to the collector; whether all of them are in.

        Events that were sent before are counted once, so trying again is safe.
        """
        body = orjson.dumps({"events": list(events)})
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(_FIRST_WAIT_SECONDS * 2**number)
            status, answer = await self._in(self._events_pool, lambda: self._post(body))
            if status == 200:
                rejected = [
                    one for one in answer["results"] if one["status"] == "rejected"
                ]
                self.traffic.counts["events"] += len(events) - len(rejected)
                for one in rejected:
                    self.traffic.problems[f"event rejected: {one['field']}"] += 1
                return not rejected
            if status and status != 429 and status < 500:
                break
        what = f"answers {status}" if status else "gives no answer"
        self.traffic.problems[f"collector {what}"] += 1
        return False

    async def decide(self, cookie: str, slot: str, context: Context) -> SlotContent:
        """What to show; where there is no answer, what a page shows then: nothing."""

        def ask() -> tuple[SlotContent, float]:
            began = time.perf_counter()
            shown = self._client.decide(cookie, [slot], context)[slot]
            return shown, time.perf_counter() - began

        try:
            shown, seconds = await self._in(self._asking_pool, ask)
        except DecisionsRefusedError as problem:
            self.traffic.problems[f"decision refused: {problem.status}"] += 1
            return SlotContent(fallback=SERVICE_AWAY)
        self.traffic.counts["decisions"] += 1
        self.traffic.decide_seconds.append(seconds)
        if shown.fallback is not None:
            self.traffic.problems[f"decision: {shown.fallback}"] += 1
        return shown

    async def report(self, cookie: str, outcome: Outcome, context: Context) -> None:
        """Tells the decisions service what came of an answer."""
        try:
            await self._in(
                self._asking_pool,
                lambda: self._client.outcomes(cookie, [outcome], context),
            )
            self.traffic.counts["outcomes"] += 1
        except DecisionsRefusedError as problem:
            self.traffic.problems[f"outcome refused: {problem.status}"] += 1
        except DecisionsUnavailableError:
            self.traffic.problems["outcome without an answer"] += 1

    async def _in(self, pool: ThreadPoolExecutor, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    def _post(self, body: bytes) -> tuple[int, Any]:
        """Status and body; (0, None) where there is no answer."""
        try:
            response = self._http.request(
                "POST",
                f"{self._collector_url}/v1/events",
                body=body,
                headers=self._headers,
            )
            return response.status, orjson.loads(response.data)
        except (urllib3.exceptions.HTTPError, ValueError):
            return 0, None

"""Makes the answers that many visitors share, once for all, and keeps them for a while.

Belongs here: the order of asking the cache, making and keeping, and what is answered when
one of them does not come in time. Not here: what an answer says (`variants`), where it is
kept (`response_cache`), or HTTP (`edge`).
"""

import asyncio
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Literal

from nearline.decisions.deciding import NOTHING_ELIGIBLE
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import PolicySet, Sharing, Slot
from nearline.decisions.response_cache import ResponseCache
from nearline.decisions.service import Decider
from nearline.decisions.stages import Stage, StageError
from nearline.decisions.variants import Variant, cache_key, variant_body

_THREADS = 4
_MOST_WAITING = 64
_DIGEST_BYTES = 8
_MOMENT = struct.Struct(">d")

Source = Literal["kept", "made", "kept_late", "made_less"]
"""Where an answer came from.

    kept       the cache
    made       now, and it is kept
    kept_late  the cache, past its time, since no better one could be made now
    made_less  now, of what there is: something was away, and it is not kept
"""


@dataclass(frozen=True, slots=True)
class SharedAnswer:
    """A body, how long ago it was made, and where it came from."""

    body: bytes
    age_seconds: float
    source: Source

    @property
    def is_whole(self) -> bool:
        return self.source in ("kept", "made")


class SharedAnswers:
    """Of one worker; one event loop only.

    Everything a cache does has the budget of the settings: what is slow or away is gone
    without, and after some failures in a row left alone for a second.
    """

    def __init__(
        self,
        decider: Decider,
        cache: ResponseCache,
        metrics: DecisionMetrics,
        clock: Callable[[], datetime],
        budget_seconds: float,
    ) -> None:
        self._decider = decider
        self._cache = cache
        self._metrics = metrics
        self._clock = clock
        self._stage = Stage(
            "response cache",
            budget_seconds,
            threads=_THREADS,
            most_waiting=_MOST_WAITING,
            observe=metrics.stage_seconds.labels("response_cache").observe,
        )
        self._making: dict[str, asyncio.Task[SharedAnswer]] = {}
        self._putting: set[asyncio.Task[None]] = set()

    async def answer(
        self, slot: Slot, shared: Sharing, policies: PolicySet, variant: Variant
    ) -> SharedAnswer:
        """The answer to a variant; there is always one."""
        key = cache_key(variant, policies, self._decider.lists.current.version)
        making = self._making.get(key)
        if making is None:
            # Who asks for the same meanwhile waits for this one: at ten times the load
            # it is made once all the same.
            making = asyncio.create_task(
                self._answer(key, slot, shared, policies, variant)
            )
            self._making[key] = making
            making.add_done_callback(lambda _: self._making.pop(key, None))
        found = await asyncio.shield(making)
        self._metrics.shared.labels(slot.name, found.source).inc()
        return found

    async def finish(self) -> None:
        """Waits until what is being kept is kept, or late."""
        await asyncio.gather(*self._putting)

    async def close(self) -> None:
        await self.finish()
        self._stage.close()
        self._cache.close()

    async def _answer(
        self,
        key: str,
        slot: Slot,
        shared: Sharing,
        policies: PolicySet,
        variant: Variant,
    ) -> SharedAnswer:
        kept = await self._kept(key)
        if kept is not None and kept.age_seconds < shared.edge_seconds:
            return kept
        choice = await self._decider.share(
            slot, policies, variant.page, variant.segment, dict(variant.groups)
        )
        body = variant_body(variant, choice)
        if choice.fallback in (None, NOTHING_ELIGIBLE):
            self._keep(key, body, shared.edge_seconds + shared.stale_seconds)
            return SharedAnswer(body, 0.0, "made")
        if kept is not None:
            return SharedAnswer(kept.body, kept.age_seconds, "kept_late")
        return SharedAnswer(body, 0.0, "made_less")

    async def _kept(self, key: str) -> SharedAnswer | None:
        get = partial(self._cache.get, key)
        count = self._metrics.response_cache.labels
        try:
            entry = get() if self._cache.is_local else await self._stage.run(get)
        except StageError as failure:
            count(f"get_{failure.failure}").inc()
            return None
        found = None if entry is None else _read(entry, self._clock().timestamp())
        count("miss" if entry is None else "hit" if found else "corrupt").inc()
        return found

    def _keep(self, key: str, body: bytes, seconds: int) -> None:
        entry = _written(body, self._clock().timestamp())
        put = partial(self._cache.put, key, entry, seconds)
        if self._cache.is_local:
            put()
        else:
            # Nobody waits for it.
            task = asyncio.create_task(self._put(put))
            self._putting.add(task)
            task.add_done_callback(self._putting.discard)

    async def _put(self, put: Callable[[], None]) -> None:
        try:
            await self._stage.run(put)
        except StageError as failure:
            self._metrics.response_cache.labels(f"put_{failure.failure}").inc()


def _written(body: bytes, made_at: float) -> bytes:
    content = _MOMENT.pack(made_at) + body
    return hashlib.sha256(content).digest()[:_DIGEST_BYTES] + content


def _read(entry: bytes, now: float) -> SharedAnswer | None:
    """What was kept; None where it is not whole, such as what somebody else put there."""
    digest, content = entry[:_DIGEST_BYTES], entry[_DIGEST_BYTES:]
    if len(content) < _MOMENT.size or (
        hashlib.sha256(content).digest()[:_DIGEST_BYTES] != digest
    ):
        return None
    (made_at,) = _MOMENT.unpack_from(content)
    # Another machine's clock may be ahead of this one's.
    return SharedAnswer(content[_MOMENT.size :], max(now - made_at, 0.0), "kept")

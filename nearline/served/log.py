"""The log of served values: lines of JSON, appended in the background by each reader.

A process has a segment of its own, a file that it holds a lock on while it writes; the
kernel frees the lock when the process ends, however it ends. Segments are closed after a
minute, so that the landing need not wait for a process to end. A line that a crash cut
short is left out when the segment is landed. Nothing is synced to disk: the log is a
sample, and a reader must not wait for it. What is served unchanged again and again, as
an item that everybody looks at, is logged once a segment.

Who is sampled depends on the key alone, so that the same few entities are logged by all
processes, and all of what they were served can be compared.
"""

import atexit
import fcntl
import logging
import os
import secrets
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from nearline.settings import Settings

SEGMENT_SUFFIX = ".jsonl"

_FLUSH_SECONDS = 1.0
_SEGMENT_SECONDS = 60.0
_SEGMENT_BYTES = 16 * 2**20
_MOST_WAITING = 10_000
_WHOLE = 2**64

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedView:
    """The values of one view that one entity was served.

    `event_timestamp` is the row's own moment as the online store has it, which may keep
    whole seconds only; None where the store had nothing of the entity. It is then known
    only that nothing was known: `known_up_to` says up to when the store held all of the
    published values, `known_from` from when on a value would still have been alive. All
    moments are UTC without a zone. `suppression` is the digest of the suppression list
    that the store was filled under; empty where there was none.
    """

    served_at: datetime
    service: str
    view: str
    view_table: str
    entity_key: str
    entity_id: str
    event_timestamp: datetime | None
    known_up_to: datetime | None
    known_from: datetime | None
    suppression: str
    values: dict[str, Any]


def segments_folder(settings: Settings) -> Path:
    return settings.served / "log"


def is_sampled(entity_id: str, share: float) -> bool:
    """Whether this entity is one of the logged ones; the same for ever and everywhere."""
    digest = blake2b(entity_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _WHOLE


class ServedLog:
    """Takes what was served and writes it in a thread of its own.

    `add` costs a reader an append to a list. Where the thread cannot keep up or the disk
    is full, what is beyond is dropped and counted in `dropped_count`: an app serves on.
    """

    def __init__(self, folder: Path, sampled_share: float) -> None:
        self.sampled_share = sampled_share
        self.dropped_count = 0
        self._folder = folder
        self._segment: _Segment | None = None
        self._begin()
        atexit.register(self.close)
        weak = weakref.WeakMethod(self._begin)
        os.register_at_fork(after_in_child=lambda: (weak() or _nothing)())

    def samples(self, entity_id: str) -> bool:
        return self.sampled_share > 0 and is_sampled(entity_id, self.sampled_share)

    def add(self, served: Callable[[], Sequence[ServedView]]) -> None:
        """Takes a function that gives what was served; it is called in the background."""
        if self._thread is None:
            self._start()
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped_count += 1
            return
        self._waiting.append(served)

    def flush(self) -> None:
        """Writes what waits, here and now."""
        with self._lock:
            # Taken one by one: other threads add meanwhile.
            given = [self._waiting.popleft() for _ in range(len(self._waiting))]
            try:
                self._write([view for give in given for view in give()])
            except OSError as problem:
                self.dropped_count += len(given)
                self._segment = None
                _logger.warning("served values were not logged: %s", problem.strerror)

    def close(self) -> None:
        """Writes what waits and gives the segment free."""
        self._is_closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.flush()
        with self._lock:
            self._close_segment()
        atexit.unregister(self.close)

    def _begin(self) -> None:
        """A state of its own: at first, and in the child of a fork.

        There the thread is gone, the lock may be held by it for ever, and what waits and
        the segment are the parent's.
        """
        self._close_segment()
        self._waiting: deque[Callable[[], Sequence[ServedView]]] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="served-values", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._is_closed:
            self._wake.wait(_FLUSH_SECONDS)
            self.flush()

    def _write(self, served: Sequence[ServedView]) -> None:
        now = time.monotonic()
        if self._segment is not None and self._segment.is_full(now):
            self._close_segment()
        if not served:
            return
        if self._segment is None:
            self._segment = _Segment(self._folder, now)
        self._segment.append(served)

    def _close_segment(self) -> None:
        if self._segment is not None:
            self._segment.close()
            self._segment = None


class _Segment:
    """One file of lines, locked by the process that appends to it."""

    def __init__(self, folder: Path, now: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}{SEGMENT_SUFFIX}"
        # Locked before it has a name that the landing looks for.
        draft = folder / f".{name}"
        self._descriptor = os.open(
            draft, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o640
        )
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        draft.rename(folder / name)
        self._opened_at = now
        self._byte_count = 0
        self._seen: set[bytes] = set()

    def is_full(self, now: float) -> bool:
        return (
            now - self._opened_at >= _SEGMENT_SECONDS
            or self._byte_count >= _SEGMENT_BYTES
        )

    def append(self, served: Sequence[ServedView]) -> None:
        rest = memoryview(b"".join(map(_line, self._new(served))))
        while rest:
            written = os.write(self._descriptor, rest)
            self._byte_count += written
            rest = rest[written:]

    def _new(self, served: Sequence[ServedView]) -> Iterator[ServedView]:
        for view in served:
            # All that the comparison goes by; when it was served is not.
            kept = (
                view.view,
                view.entity_id,
                view.event_timestamp,
                view.known_up_to,
                view.values,
            )
            digest = blake2b(orjson.dumps(kept), digest_size=16).digest()
            if digest not in self._seen:
                self._seen.add(digest)
                yield view

    def close(self) -> None:
        os.close(self._descriptor)


def _line(view: ServedView) -> bytes:
    return orjson.dumps(view, option=orjson.OPT_APPEND_NEWLINE)


def _nothing() -> None:
    """In place of a log that is gone."""

"""A request that brings events, from its body to the answer: judged, kept, counted."""

import base64
import binascii
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from starlette.requests import Request

from nearline.collector.bodies import check_kind, read_json
from nearline.collector.config import CollectorConfig, Source
from nearline.collector.door import Accepted, Arrival, Door, InputForm, Refused
from nearline.collector.duplicates import RecentEvents
from nearline.collector.metrics import Metrics
from nearline.collector.problems import Problem
from nearline.collector.rates import TokenBucket
from nearline.collector.segment import NotTaken, to_event
from nearline.collector.writing import LogWriter, Records
from nearline.events import Event
from nearline.landing.formats import Rejection
from nearline.log.protocol import LogUnavailableError, NewRecord

KEY_HEADER = "x-nearline-key"
KEY_PARAMETER = "key"

DEFECT = "the collector failed on it"
_LOGGER = logging.getLogger(__name__)
_RETRY_AFTER_SECONDS = 2.0
_NAMED_FIELDS = frozenset(Event.model_fields) | {"(event)", "type"}


@dataclass(frozen=True, slots=True)
class _Body:
    """Events of a body, ready for the door, and who sent them."""

    source: Source
    events: Sequence[Any]
    sent_at: Any
    form: InputForm


@dataclass(frozen=True, slots=True)
class Received:
    """What became of a request's events; `results` are as the answer lists them."""

    source: Source
    accepted: int
    duplicate: int
    rejected: int
    results: Sequence[Mapping[str, Any]]


class Reception:
    """Everything that requests with events share in one worker."""

    def __init__(
        self,
        config: CollectorConfig,
        door: Door,
        writer: LogWriter,
        metrics: Metrics,
        clock: Callable[[], datetime],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recent = RecentEvents()
        self._config = config
        self._door = door
        self._writer = writer
        self._metrics = metrics
        self._clock = clock
        self._ticks = ticks
        self._sources = {source.write_key: source for source in config.sources}
        self._buckets = {
            source.write_key: TokenBucket(
                source.events_per_second, source.burst_events, ticks()
            )
            for source in config.sources
        }

    async def receive(self, request: Request, segment_call: str | None) -> Received:
        """Takes the events of a request; all are durable when this returns.

        Args:
            segment_call: Segment's call that the path names; None for events of ours.

        Raises:
            Problem: the request as a whole is refused; nothing of it was kept, or (503)
                it is not known whether.
        """
        headers = request.headers
        encoding = headers.get("content-encoding", "")
        check_kind(headers.get("content-type", ""), encoding)
        content, size = await read_json(
            request.stream(), encoding, self._config.max_body_bytes
        )
        received_at = self._clock()
        self._metrics.body_bytes.inc(size)
        body = self._opened(request, content, segment_call)
        self._check_origin(headers.get("origin"), body.source)
        self._check_amount(body)
        arrival = Arrival(
            received_at.replace(microsecond=received_at.microsecond // 1000 * 1000),
            body.sent_at,
            headers.get("user-agent"),
            body.form,
        )
        return await self._keep(body, arrival)

    def _opened(self, request: Request, content: Any, call: str | None) -> _Body:
        is_object = isinstance(content, dict)
        key = request.headers.get(KEY_HEADER) or request.query_params.get(KEY_PARAMETER)
        if call is None:
            own_key = content.pop("write_key", None) if is_object else None
            source = self._source(key or own_key)
            if is_object and "events" in content:
                events = _list_of(content["events"], "events")
                return _Body(source, events, content.get("sent_at"), "event")
            if isinstance(content, list):
                return _Body(source, content, None, "event")
            return _Body(source, [_object(content)], None, "event")
        content = _object(content)
        key = key or _basic_user(request.headers.get("authorization", ""))
        source = self._source(key or content.get("writeKey"))
        messages: list[Any] = [content]
        batch: Mapping[str, Any] = {}
        if call == "batch":
            messages = _list_of(content.get("batch"), "batch")
            batch = content
        kind = None if call == "batch" else call
        events = [to_event(kind, message, batch) for message in messages]
        return _Body(source, events, batch.get("sentAt"), "segment")

    def _source(self, key: Any) -> Source:
        source = self._sources.get(key) if isinstance(key, str) else None
        if source is None:
            raise Problem(
                401,
                "the write key is unknown" if key else "the write key is missing",
                "write_key",
                "send the key of your source in the header X-Nearline-Key, in the "
                "body's write_key, or as ?key=; make one with "
                "`nearline collector new-key`",
            )
        return source

    def _check_origin(self, origin: str | None, source: Source) -> None:
        # Apps and servers send none.
        if origin is not None and not source.allows_origin(origin):
            raise Problem(
                403,
                "the key may not be used from this origin",
                "Origin",
                "add the page's origin to the key's allowed_origins",
            )

    def _check_amount(self, body: _Body) -> None:
        count = len(body.events)
        most = self._config.max_batch_events
        if count > most:
            raise Problem(
                413,
                f"the batch has more than {most} events",
                "events",
                "send smaller batches",
            )
        bucket = self._buckets[body.source.write_key]
        wait_seconds = bucket.take(count, self._ticks())
        if wait_seconds:
            raise Problem(
                429,
                "the key has sent too many events",
                "write_key",
                "send again after Retry-After seconds",
                wait_seconds,
            )

    async def _keep(self, body: _Body, arrival: Arrival) -> Received:
        source = body.source
        accepted: dict[tuple[str, str], Accepted] = {}
        refused: dict[tuple[str, str], Refused] = {}
        results: list[Mapping[str, Any]] = []
        duplicate_count = 0
        for sent in body.events:
            outcome = self._judge(sent, source, arrival)
            if isinstance(outcome, Refused):
                results.append(
                    {
                        "event_id": outcome.sent_id,
                        "status": "rejected",
                        "field": outcome.field,
                        "reason": outcome.reason,
                    }
                )
                letter = ("(deadletter)", outcome.deadletter_id)
                if letter not in self.recent:
                    refused[letter] = outcome
                continue
            event = (source.source, outcome.event_id)
            is_known = event in accepted or event in self.recent
            if is_known:
                duplicate_count += 1
            else:
                accepted[event] = outcome
            status = "duplicate" if is_known else "accepted"
            results.append({"event_id": outcome.sent_id, "status": status})
        records = Records(
            [
                NewRecord(outcome.visitor_id, outcome.value)
                for outcome in accepted.values()
            ],
            [
                NewRecord(outcome.deadletter_id, outcome.value)
                for outcome in refused.values()
            ],
        )
        try:
            await self._writer.append(records)
        except LogUnavailableError:
            raise Problem(
                503,
                "the event log cannot take events now",
                None,
                "send the same events again after Retry-After seconds",
                _RETRY_AFTER_SECONDS,
            ) from None
        # Only now: what may not be durable must pass when it is sent again.
        self.recent.add(accepted)
        self.recent.add(refused)
        rejected = len(results) - len(accepted) - duplicate_count
        received = Received(source, len(accepted), duplicate_count, rejected, results)
        self._count(received, accepted.values())
        return received

    def _judge(self, sent: Any, source: Source, arrival: Arrival) -> Accepted | Refused:
        if isinstance(sent, NotTaken):
            return self._door.refuse(sent.rejection, source, arrival, sent.event_id)
        try:
            return self._door.admit(sent, source, arrival)
        except Exception as problem:
            # A defect of ours. An answer of 5xx would have the sender send the batch
            # again for ever, and the good events in it would never get in. The message
            # may quote the event, so the trace is all that is told.
            kind = type(problem).__name__
            trace = "".join(traceback.format_tb(problem.__traceback__))
            _LOGGER.error("judging an event failed (%s)\n%s", kind, trace)
            rejection = Rejection("(event)", f"{DEFECT} ({kind}); report this")
            return self._door.refuse(rejection, source, arrival)

    def _count(self, received: Received, accepted: Any) -> None:
        name = received.source.source
        metrics = self._metrics
        for status in ("accepted", "duplicate", "rejected"):
            if count := getattr(received, status):
                metrics.events.labels(name, status).inc(count)
        if received.rejected:
            for result in received.results:
                if result["status"] == "rejected":
                    field = result["field"]
                    # A sender's own field names are without number.
                    shown = field if field in _NAMED_FIELDS else "(unknown field)"
                    metrics.refusals.labels(name, shown).inc()
        if bots := sum(outcome.is_bot for outcome in accepted):
            metrics.bots.labels(name).inc(bots)
        if dropped := sum(outcome.dropped_count for outcome in accepted):
            metrics.dropped_fields.labels(name).inc(dropped)


def answer(received: Received, is_segment: bool) -> bytes:
    """The body of the answer to events that were kept."""
    counts = {
        "accepted": received.accepted,
        "duplicate": received.duplicate,
        "rejected": received.rejected,
    }
    if is_segment:
        return orjson.dumps({"success": True, **counts})
    return orjson.dumps({**counts, "results": received.results})


def _object(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise Problem(
            400,
            "the body is no event and no batch",
            "(body)",
            'send an object, or {"events": [...]}',
        )
    return content


def _list_of(events: Any, field: str) -> list[Any]:
    if not isinstance(events, list):
        raise Problem(
            400, f"{field} is not a list", field, f"send {field} as a list of objects"
        )
    return events


def _basic_user(authorization: str) -> str | None:
    """The user name of HTTP Basic: where Segment's SDKs put the write key."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return decoded.partition(":")[0]

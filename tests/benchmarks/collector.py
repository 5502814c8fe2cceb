"""How many events the collector takes a second, durably, and how long an answer takes.

Real HTTP over loopback against the real command, clients in a closed loop. Beside each
figure stands the floor of the same run: a bare ASGI application on the same server that
parses the same JSON and answers, and appends of the same bytes straight to the log.
Clients, server and log share the machine's cores. Run alone:

    python -m tests.benchmarks.collector [--seconds 5] [--kafka localhost:9092]
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson

from nearline.collector.config import CollectorConfig, Source
from nearline.collector.door import Accepted, Arrival, Door
from nearline.log import NewRecord, open_log
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.settings import Settings
from tests.ports import free_port

NEARLINE = Path(sys.executable).with_name("nearline")
BATCHES = (1, 10, 100)
WORKERS = (1, 2)
_KEY = "benchmark"
_VISITORS = 200
# Enough that the log's sync is shared, few enough that nobody waits for a turn only.
_CONNECTIONS = {1: 32, 10: 16, 100: 4}
_MOST_EVENTS = 400_000
_FLOOR_APP = """
import orjson
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    orjson.loads(body)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"accepted":1}'})
"""


@dataclass(frozen=True)
class Load:
    """What clients in a closed loop saw."""

    events_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float


def measure_collector(
    kafka_bootstrap_servers: str | None = None,
    seconds: float = 5.0,
    batches: Sequence[int] = BATCHES,
    workers: Sequence[int] = WORKERS,
) -> list[dict[str, Any]]:
    """One row per log, batch size and number of workers.

    Columns: `log`, `batch`, `workers`, `connections`, `events_per_second`, `p50_ms`,
    `p99_ms`; the floors `parse_events_per_second` (same workers) and
    `append_events_per_second`; `times_floor`: microseconds an event of the collector
    over those of both floors together.
    """
    logs = {"sqlite": {}}
    if kafka_bootstrap_servers is not None:
        logs["kafka"] = {"NEARLINE_KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap_servers}
    parse = {
        (batch, count): _measure_parse(batch, count, seconds)
        for batch in batches
        for count in workers
    }
    rows = []
    for log, variables in logs.items():
        for batch in batches:
            append = _measure_append(log, variables, batch, seconds)
            for count in workers:
                load = _measure_one(log, variables, batch, count, seconds)
                floor = parse[batch, count]
                floor_seconds = 1 / floor.events_per_second + 1 / append
                rows.append(
                    {
                        "log": log,
                        "batch": batch,
                        "workers": count,
                        "connections": _CONNECTIONS[batch],
                        "events_per_second": round(load.events_per_second),
                        "p50_ms": round(load.p50_milliseconds, 1),
                        "p99_ms": round(load.p99_milliseconds, 1),
                        "parse_events_per_second": round(floor.events_per_second),
                        "append_events_per_second": round(append),
                        "times_floor": round(
                            1 / load.events_per_second / floor_seconds, 2
                        ),
                    }
                )
    return rows


def _measure_one(
    log: str, variables: dict[str, str], batch: int, workers: int, seconds: float
) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        source = {
            "write_key": _KEY,
            "source": "web",
            "events_per_second": 1e9,
            "burst_events": 10**9,
        }
        (home / "collector.json").write_text(json.dumps({"sources": [source]}))
        port = free_port()
        environment = _environment(home, log, variables)
        command = [str(NEARLINE), "collector", "--port", str(port)]
        command += ["--workers", str(workers)]
        with serving(command, environment, port, "/readyz"):
            return _drive(port, _requests(batch), batch, seconds)


def _measure_parse(batch: int, workers: int, seconds: float) -> Load:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "floor_app.py").write_text(_FLOOR_APP)
        port = free_port()
        command = [sys.executable, "-m", "granian", "--interface", "asgi"]
        command += ["--port", str(port), "--workers", str(workers)]
        command += ["--no-ws", "--log-level", "warning", "floor_app:app"]
        environment = {**os.environ, "PYTHONPATH": folder}
        with serving(command, environment, port, "/"):
            return _drive(port, _requests(batch), batch, seconds)


def _measure_append(
    log: str, variables: dict[str, str], batch: int, seconds: float
) -> float:
    """Events a second of threads that append what the collector would."""
    values = _kept_values(batch)
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"home": Path(folder), "log_kind": log}
        if "NEARLINE_KAFKA_BOOTSTRAP_SERVERS" in variables:
            servers = variables["NEARLINE_KAFKA_BOOTSTRAP_SERVERS"]
            options["kafka_bootstrap_servers"] = servers
            options["kafka_topic_prefix"] = f"bench-{uuid.uuid4().hex[:8]}-"
        events = open_log(Settings(**options), "events")
        events.append([NewRecord("first", b"{}")])
        counts = [0] * _CONNECTIONS[batch]
        started_at = time.perf_counter()

        def append(place: int) -> None:
            turn = place
            while time.perf_counter() - started_at < seconds:
                events.append(values[turn % len(values)])
                counts[place] += batch
                turn += len(counts)

        threads = [
            threading.Thread(target=append, args=(place,))
            for place in range(len(counts))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - started_at
        events.close()
    return sum(counts) / elapsed


def _event(number: int, now: str) -> dict[str, Any]:
    """As the tracker sends it."""
    item = {"item_id": f"sku_{number % 500:04}", "item_category": "chairs"}
    return {
        "event_id": str(uuid.uuid4()),
        "event_name": "view_item",
        "schema_version": "1.1",
        "occurred_at": now,
        "visitor_id": f"{number % _VISITORS:032x}",
        "page_view_id": str(uuid.uuid4()),
        "page_url": f"https://shop.example/p/sku_{number % 500:04}?utm_source=news",
        "page_title": f"Chair {number % 500}",
        "page_type": "product",
        "referrer": "https://www.google.com/",
        "items": [{**item, "item_brand": "Oak", "price": 19.99, "quantity": 1}],
        "currency": "EUR",
        "device_class": "desktop",
        "consent_analytics": True,
        "consent_personalization": True,
        "consent_marketing": False,
        "consent_notice_version": "2026-01",
    }


def _requests(batch: int) -> Iterator[bytes]:
    """Whole HTTP requests, every event with an id of its own."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    number = 0
    while True:
        events = [_event(number + place, now) for place in range(batch)]
        number += batch
        body = orjson.dumps({"write_key": _KEY, "sent_at": now, "events": events})
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


def _kept_values(batch: int) -> list[list[NewRecord]]:
    source = Source(write_key=_KEY, source="web")
    door = Door(CollectorConfig(sources=(source,)), Pseudonymizer(bytes(32)))
    now = datetime.now(UTC).replace(microsecond=0)
    arrival = Arrival(now, None, "Mozilla/5.0 (X11; Linux x86_64)")
    batches = []
    for start in range(0, 2_000, batch):
        records = []
        for number in range(start, start + batch):
            outcome = door.admit(_event(number, now.isoformat()), source, arrival)
            assert isinstance(outcome, Accepted)
            records.append(NewRecord(outcome.visitor_id, outcome.value))
        batches.append(records)
    return batches


def _drive(port: int, requests: Iterator[bytes], batch: int, seconds: float) -> Load:
    # Made beforehand: making them costs more than a server needs to take them.
    count = min(_MOST_EVENTS // batch, int(seconds * 60_000 / batch) + 100, 40_000)
    made = iter([next(requests) for _ in range(count)])
    return asyncio.run(_drive_all(port, made, batch, seconds))


async def _drive_all(
    port: int, requests: Iterator[bytes], batch: int, seconds: float
) -> Load:
    durations: list[float] = []
    started_at = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in requests:
            sent_at = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length:")[2].split()[0])
            await reader.readexactly(length)
            answered_at = time.perf_counter()
            durations.append(answered_at - sent_at)
            if answered_at - started_at > seconds:
                break
        writer.close()

    await asyncio.gather(*(client() for _ in range(_CONNECTIONS[batch])))
    elapsed = time.perf_counter() - started_at
    cuts = statistics.quantiles(durations, n=100)
    return Load(len(durations) * batch / elapsed, cuts[49] * 1000, cuts[98] * 1000)


def _environment(home: Path, log: str, variables: dict[str, str]) -> dict[str, str]:
    own = {
        "NEARLINE_HOME": str(home),
        "NEARLINE_LOG_KIND": log,
        "NEARLINE_KAFKA_TOPIC_PREFIX": f"bench-{uuid.uuid4().hex[:8]}-",
    }
    return {**os.environ, **own, **variables}


@contextmanager
def serving(
    command: list[str], environment: dict[str, str], port: int, path: str
) -> Iterator[None]:
    """A server in a process of its own that answers `path`, until the block ends."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(300):
            try:
                url = f"http://127.0.0.1:{port}{path}"
                # The bare app answers 500 to what is no JSON: it is up all the same.
                if httpx.get(url).status_code != 503:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--kafka", metavar="HOST:PORT")
    arguments = parser.parse_args()
    for row in measure_collector(arguments.kafka, arguments.seconds):
        print(json.dumps(row))


if __name__ == "__main__":
    main()

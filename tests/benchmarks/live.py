"""How long after its acceptance an event's values can be read, all parts running.

A paced stream of events is appended to the log; the processor is the real command. Now
and then one of the events is the first of a visitor, who is asked for through the Feast
SDK until the value is there. Beside it, in the same run, a bare consumer of the same log
writes each record's bytes to Redis, and is asked for with a plain `HGET`.
"""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nearline.log import EVENTS, NewRecord, open_log
from nearline.settings import Settings
from tests.benchmarks.redis_shop import redis_shop
from tests.memory import sampled_memory
from tests.pipeline import ROOT

NEARLINE = Path(sys.executable).with_name("nearline")
RATES = (100, 1_000, 5_000)
_TICK_SECONDS = 0.02
_PROBES_A_SECOND = 4
_PATIENCE_SECONDS = 60.0
_VISITORS = 5_000
# A visitor that is active acts about every ten seconds; one in ten is signed in.
_SECONDS_BETWEEN = 10
_SIGNED_IN_EVERY = 10
_BACKLOG = 50_000
HOUR_RATE = 100


@dataclass(frozen=True)
class Latency:
    """Seconds from append to readable, of the probes of one rate."""

    rate: int
    wanted: int
    ours: Sequence[float]
    floor: Sequence[float]
    peak_mib: float


def measure_live(folder: Path, seconds: float) -> str:
    """The report's section; `seconds` is how long each rate is kept up."""
    with redis_shop(folder) as held:
        server, settings, environment = held.server, held.settings, held.environment
        # First, and in a copy: of what the fastest rate leaves it would drain that, too.
        drained, restarted = _measure_backlog(settings.home, folder / "backlog")
        hour = _measure_hour(settings.home, folder / "hour")
        with (
            _running("live", environment) as live,
            _bare_consumer(settings, server.url) as consumer,
        ):
            assert consumer.poll() is None
            latencies = [
                _measure_rate(settings, server, live.pid, rate, seconds)
                for rate in RATES
            ]
    return _report(latencies, drained, restarted, hour, seconds)


@contextmanager
def _running(
    command: str, environment: dict[str, str]
) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen([NEARLINE, command], env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def _bare_consumer(settings: Settings, url: str) -> "Iterator[subprocess.Popen[bytes]]":
    program = (
        "import sys, time, redis\n"
        "from nearline.log import EVENTS, open_log\n"
        "from nearline.settings import Settings\n"
        f"log = open_log(Settings(home={str(settings.home)!r}), EVENTS)\n"
        "client, at = redis.Redis.from_url(sys.argv[1]), log.ends()[0]\n"
        "while True:\n"
        "    records = log.read(0, at, 5000)\n"
        "    if not records:\n"
        "        time.sleep(0.005)\n"
        "        continue\n"
        "    pipe = client.pipeline(transaction=False)\n"
        "    for record in records:\n"
        "        pipe.hset(b'bare:' + record.key.encode(), 'value', record.value)\n"
        "    pipe.execute()\n"
        "    at = records[-1].offset + 1\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, url])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _measure_rate(
    settings: Settings, server: Any, pid: int, rate: int, seconds: float
) -> Latency:
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(settings.online))
    features = ["visitor_activity_5m_v1:page_view_count_5m"]

    def ours(visitor: str) -> bool:
        answer = store.get_online_features(
            features=features, entity_rows=[{"visitor_id": visitor}]
        ).to_dict()
        return bool(answer["page_view_count_5m"][0])

    ours("v_warm_up_00000000")
    found: list[float] = []
    floor: list[float] = []
    with (
        closing(open_log(settings, EVENTS)) as log,
        server.client() as client,
        sampled_memory(pid) as peak,
    ):
        stop = time.monotonic() + seconds
        pacing = threading.Thread(target=_append_paced, args=(log, rate, stop))
        pacing.start()
        while time.monotonic() < stop:
            began = time.monotonic()
            visitor = f"v_probe{uuid.uuid4().hex[:20]}"
            log.append([_record(visitor, datetime.now(UTC))])
            found.append(_wait(began, lambda v=visitor: ours(v)))  # type: ignore[misc]
            visitor = f"v_probe{uuid.uuid4().hex[:20]}"
            second = time.monotonic()
            log.append([_record(visitor, datetime.now(UTC))])
            floor.append(
                _wait(
                    second,
                    lambda v=visitor: client.hexists(f"bare:{v}", "value"),  # type: ignore[misc]
                )
            )
            time.sleep(max(0, 1 / _PROBES_A_SECOND - (time.monotonic() - began)))
        pacing.join()
        # Whatever is behind belongs to this rate and not to the next.
        ours_done = f"v_probe{uuid.uuid4().hex[:20]}"
        log.append([_record(ours_done, datetime.now(UTC))])
        _wait(time.monotonic(), lambda: ours(ours_done))
    return Latency(rate, int(seconds * _PROBES_A_SECOND), found, floor, max(peak))


def _append_paced(log: Any, rate: int, stop: float) -> None:
    rng = random.Random(rate)
    began, sent = time.monotonic(), 0
    while (now := time.monotonic()) < stop:
        due = int((now - began) * rate) - sent
        if due > 0:
            moment = datetime.now(UTC)
            numbers = [rng.randrange(rate * _SECONDS_BETWEEN) for _ in range(due)]
            log.append([record_of(number, moment) for number in numbers])
            sent += due
        time.sleep(_TICK_SECONDS)


def record_of(number: int, moment: datetime) -> NewRecord:
    """A page view by one of the numbered visitors."""
    user = f"u_bench{number:08}" if number % _SIGNED_IN_EVERY == 0 else None
    return _record(f"v_bench{number:08}", moment, user)


def _record(visitor: str, moment: datetime, user: str | None = None) -> NewRecord:
    at = moment.isoformat()
    item = int(uuid.uuid4().int % 500)
    event = {
        "event_id": uuid.uuid4().hex,
        "event_name": "page_view",
        "schema_version": "1.2",
        "occurred_at": at,
        "received_at": at,
        "source": "bench",
        "visitor_id": visitor,
        "user_id": user,
        "page_path": "/p",
        "item_id": f"item_{item}",
        "consent_analytics": True,
        "consent_personalization": True,
        "consent_marketing": False,
        "consent_notice_version": "1",
    }
    return NewRecord(visitor, json.dumps(event).encode())


def _wait(began: float, is_there: Callable[[], bool]) -> float:
    while not is_there():
        if time.monotonic() - began > _PATIENCE_SECONDS:
            return _PATIENCE_SECONDS
        time.sleep(0.005)
    return time.monotonic() - began


def _copied(shop: Path, home: Path) -> dict[str, str]:
    """What commands run in that have a copy of the shop to themselves, and SQLite."""
    shutil.copytree(shop, home, symlinks=True)
    environment = {
        **os.environ,
        "NEARLINE_HOME": str(home),
        "NEARLINE_ONLINE_STORE": "sqlite",
    }
    subprocess.run([NEARLINE, "run"], env=environment, check=True, capture_output=True)
    return environment


def _measure_hour(shop: Path, home: Path) -> list[float]:
    """MiB at the start of an hour of events and after each ten minutes of it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.live_hour", home],
        env=_copied(shop, home),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: list[float] = json.loads(done.stdout)
    return found


def _measure_backlog(shop: Path, home: Path) -> tuple[float, float]:
    """Events a second of a drained backlog, and seconds of a start with nothing to do."""
    environment = _copied(shop, home)
    settings = Settings(home=home)
    rng = random.Random(1)
    moment = datetime.now(UTC)
    with closing(open_log(settings, EVENTS)) as log:
        for _ in range(_BACKLOG // 1_000):
            log.append(
                [record_of(rng.randrange(_VISITORS), moment) for _ in range(1_000)]
            )

    def run() -> tuple[dict[str, Any], float]:
        began = time.monotonic()
        done = subprocess.run(
            [NEARLINE, "live", "--until-idle", "--json"],
            env=environment,
            check=True,
            capture_output=True,
        )
        return json.loads(done.stdout), time.monotonic() - began

    backlog, with_backlog = run()
    _, without = run()
    assert backlog["records"] >= _BACKLOG
    return backlog["records"] / max(with_backlog - without, 0.001), without


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[94], cuts[98]


def _report(
    latencies: Sequence[Latency],
    drained: float,
    restarted: float,
    hour: Sequence[float],
    seconds: float,
) -> str:
    lines = []
    for one in latencies:
        ours, floor = _percentiles(one.ours), _percentiles(one.floor)
        cells = [
            f"{value:.3f}" for pair in zip(ours, floor, strict=True) for value in pair
        ]
        lines.append(
            f"| {one.rate:,} | {' | '.join(cells)} | {len(one.ours)} of {one.wanted} | "
            f"{one.peak_mib:.0f} |"
        )
    table = "\n".join(lines)
    return f"""## From acceptance to readable

Each rate for {seconds:.0f} s: log (SQLite), processor, Redis, the pacing and the asking all
on this machine. Seconds from the append to the value read through the Feast SDK, beside a
bare consumer that writes the record's bytes to Redis, asked for with `HEXISTS`. Active
visitors act every {_SECONDS_BETWEEN} s on average, one in {_SIGNED_IN_EVERY} is signed in.
Fewer probes than wanted: one is asked for at a time.

| events a second | p50 | bare | p95 | bare | p99 | bare | probes | peak MiB |
|---|---|---|---|---|---|---|---|---|
{table}

A backlog of {_BACKLOG:,} events of {_VISITORS:,} visitors (SQLite store) is drained at
{drained:,.0f} events a second; a start from the checkpoint with nothing to do takes
{restarted:.1f} s, all of it included.

Memory over an hour of events, in time-lapse (SQLite store): {HOUR_RATE} events a second, a
micro-batch for each five seconds, visitors who come, stay for ten minutes, and go. Resident
MiB at the start and after each ten minutes: {", ".join(f"{mib:.0f}" for mib in hour)}.
"""


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as scratch:
        os.chdir(ROOT)
        print(measure_live(Path(scratch), float((sys.argv[1:] or ["60"])[0])))

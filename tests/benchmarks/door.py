"""Measures the door and rewrites docs/benchmarks-door.md: collector, logs, tracker.

    python -m tests.benchmarks.door [--seconds 5] [--without-kafka]

Kafka and the tracker need what `tests/services/install.sh` installs.
"""

import argparse
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from tests.benchmarks.collector import measure_collector
from tests.benchmarks.run import describe_machine
from tests.benchmarks.tracker import measure_tracker
from tests.brokers import kafka_broker

REPORT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-door.md"
_COLUMNS = {
    "log": "log",
    "batch": "events a request",
    "workers": "workers",
    "events_per_second": "durable events/s",
    "p50_ms": "p50, ms",
    "p99_ms": "p99, ms",
    "parse_events_per_second": "floor: parse, events/s",
    "append_events_per_second": "floor: append, events/s",
    "times_floor": "times the floor",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--without-kafka", action="store_true")
    options = parser.parse_args()
    with ExitStack() as opened:
        servers = None
        if not options.without_kafka:
            folder = opened.enter_context(tempfile.TemporaryDirectory())
            broker = opened.enter_context(kafka_broker(Path(folder)))
            servers = broker.bootstrap_servers
        rows = measure_collector(servers, options.seconds)
    report = _report(rows, measure_tracker())
    REPORT.write_text(report)
    print(report)


def _report(rows: list[dict[str, Any]], tracker: dict[str, Any]) -> str:
    head = " | ".join(_COLUMNS.values())
    lines = "\n".join(
        f"| {' | '.join(_shown(row[name]) for name in _COLUMNS)} |" for row in rows
    )
    parts = "\n".join(
        f"| {name} | {_shown(value)} |" for name, value in tracker.items()
    )
    return f"""# Benchmarks of the door

{date.today()}, {describe_machine()}. `make bench` rewrites this page.

## Collector

Real HTTP over loopback, clients in a closed loop on the same cores as server and log.
Durable: in the log, synced, before the answer. The floor, measured in the same run, is a
bare ASGI application that parses the same JSON and answers, plus raw appends of the same
bytes to the log; the last column is time an event over the sum of both.

| {head} |
|{"---|" * len(_COLUMNS)}
{lines}

## Tracker

Sizes in bytes as served; times on the browser's main thread, medians (`cpu`: processor
time; `us`: microseconds a call, storage of the event included).

| | figure |
|---|---|
{parts}
"""


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()

"""`nearline live`: keeps online values seconds behind the events."""

import logging
import signal
import sys
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.live.processor import Batch

_SAY_EVERY_SECONDS = 5.0


class _Totals:
    """What the processor did since it was started."""

    def __init__(self) -> None:
        from nearline.live.processor import Batch

        self.counts = Counter(batches=0, **Batch().counts())
        self._waits: deque[float] = deque(maxlen=1_000)

    def add(self, batch: "Batch") -> None:
        self.counts.update(batches=int(not batch.is_idle), **batch.counts())
        if batch.waited_seconds is not None:
            self._waits.append(batch.waited_seconds)

    @property
    def median_waited_seconds(self) -> float | None:
        return sorted(self._waits)[len(self._waits) // 2] if self._waits else None


@click.command(
    epilog="Example: nearline live --metrics-port 9100",
    short_help="Keep online features seconds behind the events.",
)
@click.option(
    "--until-idle",
    is_flag=True,
    help="Process what the log holds and what is due, then end.",
)
@click.option(
    "--batch-records",
    type=click.IntRange(1, 1_000_000),
    default=5_000,
    show_default=True,
    help="Most records of one micro-batch.",
)
@click.option(
    "--memory",
    "memory_megabytes",
    type=click.IntRange(100),
    default=1_000,
    show_default=True,
    metavar="MB",
    help="What the hot state may hold in memory; the rest stays on disk.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65_535),
    help="Serve Prometheus metrics at http://127.0.0.1:PORT/metrics.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def live(
    until_idle: bool,
    batch_records: int,
    memory_megabytes: int,
    metrics_port: int | None,
    as_json: bool,
) -> None:
    """Follow the event log and keep online features up to date, until stopped.

    What a feature means is the SQL of the published release: `nearline run` comes first,
    and again whenever you like; the processor goes over to a new release by itself. One
    processor at a time; killed at any moment, the next one goes on where it was.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    settings = load_settings()
    from nearline.live.following import follow
    from nearline.live.metrics import Metrics
    from nearline.live.processor import Processor

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    metrics = Metrics()
    if metrics_port is not None:
        from prometheus_client import start_http_server

        start_http_server(metrics_port, "127.0.0.1", metrics.registry)
    totals = _Totals()
    started = said_at = time.monotonic()
    with Processor(
        settings, max_records=batch_records, memory_megabytes=memory_megabytes
    ) as processor:
        if not as_json:
            click.echo(f"live       from release {processor.release}", err=True)

        def note(batch: "Batch") -> None:
            nonlocal said_at
            metrics.note_batch(batch)
            totals.add(batch)
            if time.monotonic() - said_at >= _SAY_EVERY_SECONDS:
                said_at = time.monotonic()
                lag = processor.lag()
                metrics.note_state(lag, len(processor.views_off))
                if sys.stderr.isatty() and not as_json:
                    _say(totals, lag, processor.release, processor.views_off)

        follow(
            processor,
            stopping,
            until_idle=until_idle,
            on_batch=note,
            on_wait=metrics.note_wait,
        )
        lag, views_off = processor.lag(), sorted(processor.views_off)
        release = processor.release
    if as_json:
        print_json(
            {
                **totals.counts,
                "median_waited_seconds": totals.median_waited_seconds,
                "release": release,
                "lag_records": lag,
                "views_off": views_off,
                "seconds": round(time.monotonic() - started, 3),
            }
        )
    else:
        _say(totals, lag, release, frozenset(views_off))


def _say(totals: _Totals, lag: int, release: str, views_off: frozenset[str]) -> None:
    waited = totals.median_waited_seconds
    text = (
        f"live       {totals.counts['records']:,} records, "
        f"{totals.counts['rows_written']:,} rows written, "
        f"{lag:,} behind, release {release}"
    )
    if waited is not None:
        text += f", values after {waited:.2f} s"
    if views_off:
        text += f", OFF: {', '.join(sorted(views_off))}"
    click.echo(text, err=True)

"""How long after its append an event's webhook has arrived, all parts running.

Events of as many visitors are appended at a pace; `nearline triggers run` is the real
command, the receiver a real server. Beside it, in the same run, the floor: an append to
the same log, read back at once, and the same POST, with nothing decided or kept.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from nearline.audience.webhook import Batch, Webhook, post
from nearline.log import EVENTS, NewRecord, open_log
from tests.benchmarks.run import describe_machine
from tests.running_triggers import now_event, running_triggers
from tests.unit.triggers.trigger_site import TriggerSite, trigger_site
from tests.webhook_receiver import SECRET, Crm, running_crm

REPORT = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-triggers.md"
RATES = (10, 100)
_PATIENCE_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of each rate")
    options = parser.parse_args()
    lines = []
    for rate in RATES:
        with tempfile.TemporaryDirectory() as folder, running_crm() as crm:
            site = _site(Path(folder) / "home", crm)
            ours = _delays(site, crm, rate, options.seconds)
            floor = _floor(site, crm)
        figures = " | ".join(
            f"{_at(ours, place):.3f} | {_at(floor, place):.3f}" for place in (50, 95)
        )
        lines.append(f"| {rate} | {figures} | {len(ours):,} |")
    REPORT.write_text(
        f"""# Benchmarks: triggers

Written by `python -m tests.benchmarks.triggers`, on {datetime.now(UTC):%Y-%m-%d};
{describe_machine()}; {os.getloadavg()[0]:.0f} processes waiting for its cores at the
end. Ratios, measured in one run, are what to look at.

Seconds from an event's append to the log until its webhook has arrived, each rate for
{options.seconds:.0f} s, every event another visitor's first: log (SQLite), triggers, state
and receiver all on this machine. `floor`: append, read back and POST, one after the
other, nothing decided and nothing kept. What is above it is mostly waiting: the log and
the outbox are looked at five times a second.

| firings a second | p50 | floor | p95 | floor | firings |
|---|---|---|---|---|---|
"""
        + "\n".join(lines)
        + "\n"
    )
    print(REPORT.read_text())


def _site(home: Path, crm: Crm) -> TriggerSite:
    site = trigger_site(home)
    site.define(
        "triggers: { hello: { on: { event: search }, "
        f"deliver: [{{ to: webhook, url: '{crm.url}' }}] }} }}"
    )
    return site


def _delays(site: TriggerSite, crm: Crm, rate: int, seconds: float) -> list[float]:
    appended: dict[str, float] = {}
    with running_triggers(site):
        site.arrive(now_event("first", "search"))
        _wait(crm, 1)
        started = time.monotonic()
        for number in range(int(rate * seconds)):
            wait = started + number / rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            event = now_event(f"p{number}", "search")
            appended[event["visitor_id"]] = time.monotonic()
            site.arrive(event)
        _wait(crm, len(appended) + 1)
    return [
        crm.taken_at[key] - appended[message["visitor_id"]]
        for key, message in crm.taken.items()
        if message["visitor_id"] in appended
    ]


def _floor(site: TriggerSite, crm: Crm, count: int = 200) -> list[float]:
    webhook = Webhook(crm.url, SECRET, clock=time.time, pause=time.sleep)
    delays = []
    with closing(open_log(site.settings, EVENTS)) as log:
        for number in range(count):
            started = time.monotonic()
            [end] = log.ends().values()
            value = json.dumps(now_event(f"f{number}", "search")).encode()
            log.append([NewRecord("key", value)])
            [record] = log.read(0, end, 1)
            post(webhook, Batch(record.value, f"floor_{number}"))
            delays.append(time.monotonic() - started)
    return delays


def _wait(crm: Crm, count: int) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while len(crm.taken) < count:
        assert time.monotonic() < deadline, f"{len(crm.taken)} of {count} arrived"
        time.sleep(0.05)


def _at(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


if __name__ == "__main__":
    main()

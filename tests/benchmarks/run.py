"""`make bench`: measures a run and rewrites `docs/benchmarks.md`.

Everything is measured in one run on one machine, each figure beside a named baseline.
Timing never decides a test; this file decides nothing.

    python -m tests.benchmarks.run [--visitors 13000] [--days 30]
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from tests.pipeline import ROOT, Home

BIN = Path(sys.executable).parent
REPORT = ROOT / "docs" / "benchmarks.md"
BY_HAND = Path(__file__).with_name("fct_sessions_by_hand.sql")
EVENT_AND_SESSION_MODELS = (
    "int_events__deduplicated",
    "int_events__sessionized",
    "fct_events",
    "fct_sessions",
)
_REPEATS = 3


@dataclass(frozen=True)
class Measured:
    """One process: wall seconds and peak memory in MiB."""

    seconds: float
    peak_mib: float
    output: str


def measure(command: list[str], environment: dict[str, str], cwd: Path) -> Measured:
    """Runs a command to its end and asks the kernel what it took."""
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{command[0]} failed:\n{text[-3000:]}")
    return Measured(seconds, usage.ru_maxrss / 1024, text)


@dataclass(frozen=True)
class Build:
    """One `dbt build`: node seconds of all models and of those that are compared."""

    wall_seconds: float
    peak_mib: float
    node_seconds: dict[str, float]

    @property
    def compared_seconds(self) -> float:
        return sum(self.node_seconds[name] for name in EVENT_AND_SESSION_MODELS)

    @property
    def all_seconds(self) -> float:
        return sum(self.node_seconds.values())


def build(home: Home, scratch: Path, *arguments: str) -> Build:
    """Runs the models, without tests, single-threaded for the sake of the sums."""
    target = scratch / "target"
    measured = measure(
        [
            str(BIN / "dbt"),
            "run",
            *arguments,
            "--target-path",
            str(target),
            "--log-path",
            str(scratch / "logs"),
        ],
        home.environment(),
        ROOT / "dbt_project",
    )
    results = json.loads((target / "run_results.json").read_text())["results"]
    return Build(
        measured.seconds,
        measured.peak_mib,
        {r["unique_id"].split(".")[-1]: r["execution_time"] for r in results},
    )


def by_hand(home: Home) -> Measured:
    """The hand-written query, in a process of its own; seconds of the query alone."""
    query = BY_HAND.read_text().replace(
        "{events}", str(home.settings.raw / "format=nearline/*/events*.parquet")
    )
    code = (
        "import duckdb, sys, time\n"
        "connection = duckdb.connect(sys.argv[2], config={'threads': 2})\n"
        "connection.execute(\"set timezone = 'UTC'\")\n"
        "started = time.perf_counter()\n"
        "connection.execute('create table fct_sessions as ' + sys.argv[1])\n"
        "print(time.perf_counter() - started)\n"
    )
    runs = []
    for _ in range(_REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(
                measure(
                    [sys.executable, "-c", code, query, f"{folder}/hand.duckdb"],
                    dict(os.environ),
                    ROOT,
                )
            )
    return Measured(
        statistics.median(float(run.output.split()[-1]) for run in runs),
        statistics.median(run.peak_mib for run in runs),
        "",
    )


@contextmanager
def timed() -> Iterator[list[float]]:
    """Seconds of the block, as the only element."""
    seconds: list[float] = []
    started = time.perf_counter()
    yield seconds
    seconds.append(time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=13_000)
    parser.add_argument("--days", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder:
        report = _measure_all(Path(folder), options.visitors, options.days)
    REPORT.write_text(report)
    print(report)


def _measure_all(scratch: Path, visitors: int, days: int) -> str:
    from nearline.simulate import Plan, simulate

    say = _say()
    say("simulating")
    with timed() as simulating:
        made = simulate(
            Plan(visitors, days, 7, date(2026, 9, 1), 0.15), scratch / "shop"
        )
    files = sorted((scratch / "shop" / "events").glob("*.jsonl.gz"))
    # The day whose increment is measured: the last full one, with its late events.
    last_day = files[days - 1]
    rest = [file for file in files[:days] if file != last_day]

    say("landing")
    home = Home(scratch / "home")
    for file in rest:
        shutil.copy(file, _made(scratch / "history") / file.name)
    landing = measure(
        [str(BIN / "nearline"), "ingest", str(scratch / "history"), "--json"],
        home.environment(),
        ROOT,
    )
    landed = json.loads(landing.output)["accepted_row_count"]

    say("building the history")
    history = build(home, scratch)
    released = _release(home)
    say("landing and building one day more")
    day = measure(
        [str(BIN / "nearline"), "ingest", str(last_day), "--json"],
        home.environment(),
        ROOT,
    )
    day_rows = json.loads(day.output)["accepted_row_count"]
    increment = build(home, scratch)
    released_again = _release(home)
    say("building everything")
    full = min(
        (build(home, scratch, "--full-refresh") for _ in range(_REPEATS)),
        key=lambda done: done.compared_seconds,
    )
    say("the query by hand")
    hand = by_hand(home)
    say("checking")
    checked = _check(home, scratch)
    say("materializing")
    materialized = _materialize(home)
    rows = {
        "events": made.line_count,
        "landed": landed,
        "day_rows": day_rows,
        "simulating": simulating[0],
        "landing": landing.seconds,
    }
    return _report(
        rows,
        history,
        increment,
        full,
        hand,
        released,
        released_again,
        checked,
        materialized,
    )


def _say():
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"[{time.perf_counter() - started:6.1f} s] {text}", file=sys.stderr)

    return say


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _release(home: Home) -> dict[str, object]:
    from nearline.publication.releases import (
        new_release_id,
        publish,
        read_manifest,
        write_candidate,
    )

    now = datetime.now(UTC)
    with timed() as seconds:
        release = write_candidate(
            home.settings, new_release_id(home.settings, now), "bench", now
        )
    publish(home.settings, release)
    manifest = read_manifest(release)
    assert manifest is not None
    facts = [entry for entry in manifest.tables.values() if entry.days]
    return {
        "seconds": seconds[0],
        "written": sum(entry.written_days for entry in facts),
        "linked": sum(entry.linked_days for entry in facts),
    }


def _check(home: Home, scratch: Path) -> dict[str, float]:
    from expectations.runner import check_release

    release = home.settings.published.resolve()
    # Great Expectations takes seconds to import; a first, small call pays for it.
    check_release(release, scratch / "quality")
    with timed() as seconds:
        results = check_release(release, scratch / "quality")
    rows = {result.table: result.checked_row_count for result in results}
    asked = sum(result.checked_row_count for result in results)
    return {
        "seconds": seconds[0],
        "checks": len(results),
        "rows": sum(rows.values()),
        "row_checks": asked,
    }


def _materialize(home: Home) -> dict[str, float]:
    from nearline.online import refresh_online_store

    release = home.settings.published.resolve()
    with timed() as first:
        written = sum(
            view.rows_written for view in refresh_online_store(home.settings, release)
        )
    with timed() as again:
        rewritten = sum(
            view.rows_written for view in refresh_online_store(home.settings, release)
        )
    return {
        "written": written,
        "first": first[0],
        "again": again[0],
        "rewritten": rewritten,
    }


def describe_machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in cpuinfo.read_text().splitlines()
            if line.startswith("model name")
        ]
        model = names[0] if names else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Python {platform.python_version()}"


def _report(
    rows,
    history,
    increment,
    full,
    hand,
    released,
    released_again,
    checked,
    materialized,
) -> str:
    models = "\n".join(
        f"| `{name}` | {full.node_seconds[name]:.2f} | {increment.node_seconds[name]:.2f} |"
        for name in sorted(full.node_seconds, key=lambda name: -full.node_seconds[name])
        if full.node_seconds[name] >= 0.1
    )
    day_share = rows["day_rows"] / (rows["landed"] + rows["day_rows"])
    return f"""# Benchmarks

Written by `make bench` on {datetime.now(UTC):%Y-%m-%d}; {describe_machine()}.
A simulated shop of {rows["events"]:,} events. Figures move with the machine; the ratios,
measured in one run, are what to look at. dbt runs with two threads, so the node seconds
of models that ran side by side overlap.

## Events and sessions, against a query by hand

The baseline is [one hand-written DuckDB query](../tests/benchmarks/fct_sessions_by_hand.sql)
that makes the same `fct_sessions` from the same raw Parquet, in a process of its own
(median of {_REPEATS}). Ours are the node seconds of the four models between raw and
`fct_sessions` in a full build (best of {_REPEATS}), which also keep every event, its
provenance and its session as tables. Memory is the peak of the whole process.

| | seconds | times the baseline | peak MiB | times the baseline |
|---|---|---|---|---|
| by hand | {hand.seconds:.2f} | 1 | {hand.peak_mib:.0f} | 1 |
| dbt models | {full.compared_seconds:.2f} | {full.compared_seconds / hand.seconds:.1f} | {full.peak_mib:.0f} | {full.peak_mib / hand.peak_mib:.1f} |

## One day more, against a full build

The day brings {rows["day_rows"]:,} rows, {day_share:.1%} of all.

| | full build | one day more | ratio |
|---|---|---|---|
| node seconds, four event and session models | {full.compared_seconds:.2f} | {increment.compared_seconds:.2f} | {increment.compared_seconds / full.compared_seconds:.2f} |
| node seconds, all models | {full.all_seconds:.2f} | {increment.all_seconds:.2f} | {increment.all_seconds / full.all_seconds:.2f} |
| day partitions of the three large facts written | {released["written"]} | {released_again["written"]} ({released_again["linked"]} linked) | {released_again["written"] / max(1, released["written"]):.2f} |
| release, seconds | {released["seconds"]:.2f} | {released_again["seconds"]:.2f} | {released_again["seconds"] / released["seconds"]:.2f} |

Feature tables, marts of items and persons and the measures are rebuilt on every run.
Late events and log-ins decide how many days are written: a log-in moves its visitor's
anonymous past to the account's person, and one moved row rewrites its day.

| model | full, s | one day more, s |
|---|---|---|
{models}

## Other parts

| | figure |
|---|---|
| simulate | {rows["events"] / rows["simulating"]:,.0f} events/s |
| ingest (checked, raw Parquet) | {rows["landed"] / rows["landing"]:,.0f} rows/s |
| Great Expectations, whole release: {checked["checks"]} checks of {checked["rows"]:,} rows | {checked["seconds"]:.1f} s, {checked["rows"] / checked["seconds"]:,.0f} rows/s, {checked["row_checks"] / checked["seconds"]:,.0f} row checks/s |
| online store, first fill of {materialized["written"]:,} rows (an entity with all features of a view) | {materialized["first"]:.1f} s, {materialized["written"] / materialized["first"]:,.0f} rows/s |
| online store, refresh with nothing new | {materialized["again"]:.1f} s, {materialized["rewritten"]:,} rows written |
"""


if __name__ == "__main__":
    main()

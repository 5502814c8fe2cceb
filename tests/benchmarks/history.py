"""What an increment costs as history grows, and what identity and adapters cost.

Writes `docs/benchmarks-history.md`. Histories are one simulated shop, repeated under
other ids until they are long enough, as raw Parquet that dbt reads like any landing. An
increment is a number of rows of the day after, by visitors of the history; the same
increments meet every history, each on a copy of the warehouse.

    python -m tests.benchmarks.history [--sizes 1000000 10000000]
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from tests.benchmarks.identity import measure_identity
from tests.benchmarks.run import (
    EVENT_AND_SESSION_MODELS,
    Build,
    Measured,
    build,
    by_hand,
    describe_machine,
    measure,
)
from tests.benchmarks.sources import measure_sources
from tests.pipeline import ROOT, Home

REPORT = ROOT / "docs" / "benchmarks-history.md"
INCREMENT_ROWS = (1_000, 10_000, 100_000)
_SHOP_VISITORS = 13_000
_DAYS = 30
_REPEATS = 3
_SELECT = ("--select", "+fct_sessions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 10_000_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as folder:
        scratch = Path(folder)
        shop = _shop(scratch)
        histories = [
            _measure_history(scratch / f"{size}", shop, size) for size in options.sizes
        ]
        identity = measure_identity(scratch / "identity")
        sources = measure_sources(scratch / "sources")
    report = _report(histories, identity, sources)
    REPORT.write_text(report)
    print(report)


def _shop(scratch: Path) -> Home:
    """A shop landed once by `ingest`: the rows that all histories repeat."""
    from nearline.simulate import Plan, simulate

    simulate(Plan(_SHOP_VISITORS, _DAYS, 7, date(2026, 9, 1), 0.15), scratch / "shop")
    home = Home(scratch / "landed")
    measure(
        [str(Path(sys.executable).parent / "nearline"), "ingest",
         str(scratch / "shop" / "events"), "--json"],
        home.environment(),
        ROOT,
    )  # fmt: skip
    return home


@dataclass(frozen=True)
class History:
    """Figures of one size: rows, the query by hand, a full build, the increments."""

    row_count: int
    hand: Measured
    full: Build
    increments: dict[int, float]


def _measure_history(folder: Path, shop: Home, size: int) -> History:
    folder.mkdir()
    home = Home(folder / "home")
    row_count = _write_history(home, shop, size)
    _say(f"{row_count:,} rows: building")
    full = build(home, folder, *_SELECT)
    hand = by_hand(home)
    increments = {}
    for rows in INCREMENT_ROWS:
        _say(f"{row_count:,} rows: increments of {rows:,}")
        increments[rows] = statistics.median(
            _increment(folder, home, shop, rows, number) for number in range(_REPEATS)
        )
    shutil.rmtree(folder)
    return History(row_count, hand, full, increments)


def _write_history(home: Home, shop: Home, size: int) -> int:
    source = f"'{shop.settings.raw}/format=nearline/landing_id=*/events*.parquet'"
    target = home.settings.raw / "format=nearline" / "landing_id=00000001"
    target.mkdir(parents=True)
    with duckdb.connect() as connection:
        [[rows]] = connection.execute(f"select count(*) from {source}").fetchall()
        copies = max(1, round(size / rows))
        for copy in range(copies):
            # A file a copy: readers take them all as one landing.
            connection.execute(
                f"copy (select * replace ({_renamed(copy)}) from {source}) "
                f"to '{target}/events-{copy:04}.parquet' (format parquet)"
            )
    _write_card(target, 1)
    return int(rows) * copies


def _renamed(copy: int) -> str:
    ids = ("event_id", "visitor_id", "user_id", "page_view_id", "source_session_id")
    return ", ".join(f"{name} || '_{copy}' as {name}" for name in ids)


def _write_card(folder: Path, landing_id: int) -> None:
    card = {
        "landing_id": landing_id,
        "format": "nearline",
        "source_file": "benchmark",
        "digest": f"{landing_id}",
        "accepted_count": 0,
        "rejected_count": 0,
    }
    (folder / "landing.json").write_text(json.dumps(card))


def _increment(folder: Path, home: Home, shop: Home, rows: int, number: int) -> float:
    """Node seconds of the compared models for so many rows of the day after."""
    copy = Home(folder / "copy")
    shutil.copytree(home.path, copy.path)
    target = copy.settings.raw / "format=nearline" / "landing_id=00000002"
    target.mkdir()
    source = f"'{shop.settings.raw}/format=nearline/landing_id=*/events*.parquet'"
    shift = f"interval {_DAYS} days"
    times = ", ".join(
        f"{name} + {shift} as {name}" for name in ("occurred_at", "received_at")
    )
    with duckdb.connect() as connection:
        connection.execute(
            f"copy (select * replace (event_id || '_new_{number}' as event_id, "
            f"visitor_id || '_0' as visitor_id, user_id || '_0' as user_id, {times}) "
            f"from {source} where occurred_at < timestamp '2026-09-06' "
            f"order by occurred_at limit {rows}) "
            f"to '{target}/events.parquet' (format parquet)"
        )
    _write_card(target, 2)
    done = build(copy, folder, *_SELECT)
    shutil.rmtree(copy.path)
    return sum(done.node_seconds[name] for name in EVENT_AND_SESSION_MODELS)


def _say(text: str) -> None:
    print(f"[{datetime.now(UTC):%H:%M:%S}] {text}", file=sys.stderr)


def _report(histories: Sequence[History], identity: str, sources: str) -> str:
    full = "\n".join(
        f"| {one.row_count:,} | {one.hand.seconds:.2f} | "
        f"{one.full.compared_seconds:.2f} | "
        f"{one.full.compared_seconds / one.hand.seconds:.1f} | "
        f"{one.hand.peak_mib:.0f} | {one.full.peak_mib:.0f} |"
        for one in histories
    )
    first = histories[0]
    heads = " | ".join(f"{one.row_count:,} rows, s" for one in histories)
    ratios = " | ".join(
        f"{one.row_count / first.row_count:.0f} times the history"
        for one in histories[1:]
    )
    lines = "\n".join(
        f"| {rows:,} | "
        + " | ".join(f"{one.increments[rows]:.2f}" for one in histories)
        + " | "
        + " | ".join(
            f"{one.increments[rows] / first.increments[rows]:.2f}"
            for one in histories[1:]
        )
        + " |"
        for rows in INCREMENT_ROWS
    )
    columns = "|---" * (1 + len(histories) + len(histories[1:])) + "|"
    return f"""# Benchmarks: growing history, identity, sources

Written by `python -m tests.benchmarks.history` on {datetime.now(UTC):%Y-%m-%d};
{describe_machine()}. Ratios, measured in one run, are what to look at.

## A full build against the query by hand

Node seconds of the four models between raw and `fct_sessions`, beside
[one hand-written query](../tests/benchmarks/fct_sessions_by_hand.sql) for the same
sessions (median of {_REPEATS}); memory is the peak of the whole process.

| rows | by hand, s | dbt models, s | times the baseline | by hand, MiB | dbt, MiB |
|---|---|---|---|---|---|
{full}

## The same increment on a longer history

Node seconds of the same models (median of {_REPEATS}); the aim is at most 1.3 times the
seconds at ten times the history.

| rows of the increment | {heads} | {ratios} |
{columns}
{lines}

{identity}
{sources}"""


if __name__ == "__main__":
    main()

"""How long the experiments' marts take, in full and by one more day, and inference on them.

The tables that the marts read are made here, in as many rows as units ask for; the marts are
built by the project's own SQL, with as many metrics as are wanted. Beside our inference, in
the same run, a loop over statsmodels on the same sums.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from nearline.experiments.analysis import Question, answer
from nearline.experiments.metrics import load_metrics
from nearline.experiments.warehouse_experiment import (
    ExperimentTables,
    experiment_data,
    read_tables,
    total_by_variant,
)
from tests.benchmarks.run import describe_machine

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "docs" / "benchmarks-experiments.md"
DBT = Path(sys.executable).with_name("dbt")
MODELS = [
    "fct_exposures",
    "int_experiments__unit_days",
    "int_experiments__sums",
    "int_experiments__value_counts",
    "fct_experiment_metrics",
    "fct_experiment_days",
    "fct_experiment_segments",
    "fct_experiment_values",
]
DAYS = 14
"""Each unit comes on a day of its own and, on average, on three others."""

EVENT_COLUMNS = """
    gen_random_uuid() as event_key, visitor_id, visitor_id as person_id,
    visitor_id || '-' || day as session_id, false as is_bot,
    hash(visitor_id, day, kind) % 86000 as second,
    timestamp '2026-09-01' + day * interval '1 day' + second * interval '1 second'
        as occurred_at,
    occurred_at as received_at, kind as event_name, kind = 'page_view' as is_page_view,
    case when kind = 'purchase' then hash(visitor_id, day) % 20000 end as revenue_cents,
    case when kind = 'user_engagement' then hash(visitor_id, day) % 90000 end
        as engaged_milliseconds,
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument(
        "--each-in", type=int, default=5, help="experiments of a unit, on average"
    )
    parser.add_argument("--metrics", type=int, default=50)
    parser.add_argument("--out", type=Path, default=REPORT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        project = _project(Path(folder) / "project", options.metrics)
        _say("making the history")
        _make_history(home, options.units, options.experiments, options.each_in)
        full = _build(project, home)
        _say(f"built in full: {full:.1f} s")
        _add_day(home)
        increment = _build(project, home)
        _say(f"one more day: {increment:.1f} s")
        nothing = _build(project, home)
        with duckdb.connect(
            str(home / "warehouse.duckdb"), read_only=True
        ) as warehouse:
            counts = _counts(warehouse)
            tables = read_tables(warehouse, lambda name: name)
        metrics = load_metrics(project)
        ours = _rate(tables, lambda one: _ours(one, metrics))
        theirs = _rate(tables, _statsmodels)
    options.out.write_text(
        f"""# Benchmarks: experiments

Written by `python -m tests.benchmarks.experiments`, on {datetime.now(UTC):%Y-%m-%d};
{describe_machine()}; {os.getloadavg()[0]:.0f} processes waiting for its cores at the
end. Ratios, measured in one run, are what to look at.

{options.units:,} units, {options.experiments} experiments of {DAYS} days, each unit in
{options.each_in} of them on average, and {len(metrics)} metrics: {counts["events"]:,} events,
{counts["unit_days"]:,} rows by unit and day, {counts["sums"]:,} rows of sums. Seconds
that dbt took for the marts' models, one after the other, without its own start.

| built | seconds |
|---|---|
| in full | {full:.1f} |
| by one more day (1 in {DAYS} of the events) | {increment:.1f} |
| with nothing new | {nothing:.1f} |

Analyses a second of one core, of one metric in one experiment: from its sums by day,
adjusted by what was before, to intervals, adjusted p-value, chance and loss:

| | analyses a second |
|---|---|
| `nearline.experiments` | {ours:,.0f} |
| a loop over statsmodels: Welch's t, its interval and no more | {theirs:,.0f} |
"""
    )
    print(options.out.read_text())


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", file=sys.stderr, flush=True)


def _project(folder: Path, metric_count: int) -> Path:
    """A copy of the dbt project with more metrics, of all kinds in turn."""
    shutil.copytree(
        ROOT / "dbt_project", folder, ignore=shutil.ignore_patterns("target", "logs")
    )
    shutil.rmtree(folder / "experiments", ignore_errors=True)
    lacking = metric_count - len(load_metrics(folder))
    measures = ("item_views", "searches", "page_views", "carts", "revenue")
    kinds = (
        "kind: count",
        "kind: proportion",
        "kind: revenue, winsorize_at: {}000",
        "kind: time_to_event, within_hours: {}",
    )
    lines = ["version: 2", "", "metrics:"]
    for number in range(lacking):
        kind = kinds[number % len(kinds)].format(number + 1)
        measure = measures[number % len(measures)]
        lines += [
            f"  - name: more_{number}",
            f"    label: More {number}",
            "    type: simple",
            f"    type_params: {{ measure: {measure} }}",
            f"    config: {{ meta: {{ experiment: {{ {kind} }} }} }}",
        ]
    (folder / "models" / "metrics" / "_more.yml").write_text("\n".join(lines) + "\n")
    return folder


def _make_history(home: Path, units: int, experiments: int, each_in: int) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        warehouse.execute(
            f"""
            create table visits as
            select 'v' || unit as visitor_id, cast(day as integer) as day,
            from range({units}) as units (unit), range({DAYS}) as days (day)
            where day = unit % {DAYS} or hash(unit, day) % {DAYS} < 3
            """
        )
        warehouse.execute(
            f"create table experiments as select 'experiment_' || number as "
            f"experiment_key, {each_in / experiments} as share, "
            f"from range({experiments}) as numbers (number)"
        )
        warehouse.execute(_events("day < 13", 1, "create table fct_events as"))
        warehouse.execute(_sessions("day < 13", 1, "create table fct_sessions as"))
        warehouse.execute(
            "create table int_events__sessionized as "
            "select event_key, change_seq from fct_events"
        )
        warehouse.execute(
            "create table int_events__deduplicated as "
            "select event_key, visitor_id, change_seq from fct_events"
        )
        warehouse.execute(
            "create table int_segments__periods (person_id varchar, segment varchar, "
            "valid_from timestamp, valid_to timestamp)"
        )


def _add_day(home: Path) -> None:
    with duckdb.connect(str(home / "warehouse.duckdb")) as warehouse:
        warehouse.execute(_events("day = 13", 2, "insert into fct_events"))
        warehouse.execute(_sessions("day = 13", 2, "insert into fct_sessions"))
        for table, columns in (
            ("int_events__sessionized", "event_key, change_seq"),
            ("int_events__deduplicated", "event_key, visitor_id, change_seq"),
        ):
            warehouse.execute(
                f"insert into {table} select {columns} from fct_events "
                "where change_seq = 2"
            )


def _events(days: str, change_seq: int, into: str) -> str:
    """Of each visit an exposure to every experiment, a view, dwell, and sometimes more."""
    return f"""
        {into}
        with kinds as (
            select *, unnest(['page_view', 'user_engagement']
                || case when hash(visitor_id, day, 1) % 9 = 0
                    then ['add_to_cart'] else [] end
                || case when hash(visitor_id, day, 2) % 25 = 0
                    then ['purchase'] else [] end) as kind,
            from visits where {days}
        ),
        -- On the second of its days, so that there is something from before to adjust by.
        exposed as (
            select visitor_id, min(day, 2)[-1] as day, 'exposure' as kind
            from visits group by visitor_id
        ),
        rows as (
            select {EVENT_COLUMNS} null::varchar as experiment_key,
                null::varchar as variant_key
            from kinds
            union all by name
            select {EVENT_COLUMNS} experiment_key,
                case when hash(visitor_id, experiment_key) % 2 = 0
                    then 'control' else 'treatment' end as variant_key
            from exposed, experiments where {days}
                and hash(visitor_id, experiment_key, 1) % 1000 < share * 1000
        )
        select * exclude (second), event_key::varchar as event_id,
            {change_seq} as change_seq
        from rows
    """


def _sessions(days: str, change_seq: int, into: str) -> str:
    return f"""
        {into}
        select visitor_id || '-' || day as session_id, visitor_id,
            visitor_id as person_id, false as is_bot,
            timestamp '2026-09-01' + day * interval '1 day' as started_at,
            started_at + interval '23 hours' as ended_at,
            (hash(visitor_id, day, 2) % 25 = 0)::bigint as purchase_count,
            hash(visitor_id, day, 3) % 3 = 0 as is_bounce,
            (hash(visitor_id, day, 4) % 1000) / 10.0 as engagement_score,
            ['desktop', 'mobile', 'tablet'][1 + (hash(visitor_id) % 3)::bigint]
                as device_class,
            ['direct', 'email', 'organic_search'][1 + (hash(visitor_id, 1) % 3)::bigint]
                as channel,
            {change_seq} as change_seq
        from visits where {days}
    """


def _build(project: Path, home: Path) -> float:
    """Seconds that the models took, as dbt has them: without its start and parse."""
    done = subprocess.run(
        [str(DBT), "--no-use-colors", "run", "--select", *MODELS],
        cwd=project,
        env={
            **os.environ,
            "NEARLINE_HOME": str(home),
            "NEARLINE_EXPERIMENTS": "",
            "DBT_TARGET_PATH": str(project / "target"),
            "DBT_LOG_PATH": str(project / "logs"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stdout[-4000:])
    found = json.loads((project / "target" / "run_results.json").read_text())
    return float(sum(one["execution_time"] for one in found["results"]))


def _counts(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = {
        "events": "fct_events",
        "unit_days": "int_experiments__unit_days",
        "sums": "int_experiments__sums",
    }
    return {
        name: warehouse.execute(f"select count(*) from {table}").fetchall()[0][0]
        for name, table in tables.items()
    }


def _rate(
    tables: dict[str, ExperimentTables], analyse: Callable[[ExperimentTables], int]
) -> float:
    """Analyses a second of processor time, the tables read before; after a first round
    that imports what it needs."""
    for _ in range(2):
        started = time.process_time()
        done = sum(analyse(one) for one in tables.values())
        seconds = time.process_time() - started
    return done / seconds


def _ours(tables: ExperimentTables, metrics: tuple) -> int:  # type: ignore[type-arg]
    data = experiment_data(tables, metrics, is_adjusted=True)
    return len(answer(data, Question()).results)


def _statsmodels(tables: ExperimentTables) -> int:
    """Two arms described by the sums that we have, as two values with their weights."""
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

    done = 0
    for metric in tables.by_day:
        arms = []
        for sums in total_by_variant(tables, metric).values():
            mean = sums.value / sums.unit_count
            if not sums.value:
                break
            spread = max(sums.value_squares / sums.unit_count - mean * mean, 0.0) ** 0.5
            half = sums.unit_count / 2
            arms.append(
                DescrStatsW([mean - spread, mean + spread], weights=[half, half])
            )
        if len(arms) == 2:
            compared = CompareMeans(arms[1], arms[0])
            compared.ttest_ind(usevar="unequal")
            compared.tconfint_diff(usevar="unequal")
            done += 1
    return done


if __name__ == "__main__":
    main()

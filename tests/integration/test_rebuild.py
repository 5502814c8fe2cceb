"""Rebuilds and backfills from end to end: what readers see, and what is left behind.

The tests of this file share one home, and each goes on where the one before it ended.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from nearline.landing.verification import remember_verified, unverified_files
from nearline.publication.tables import scan
from tests.background import repeated
from tests.pipeline import NEARLINE, Home, simulate

MENDED = "Mended title"
CLI_DAYS = ("2026-03-02", "2026-03-03")
DAGSTER_DAY = "2026-03-05"
LEFT_DAY = "2026-03-07"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    events = simulate(
        tmp_path_factory.mktemp("shop") / "shop",
        visitors=120,
        days=8,
        seed=4,
        effect=0.0,
    )
    home = Home(tmp_path_factory.mktemp("home"))
    home.nearline("ingest", events)
    home.nearline("run")
    return home


def landed_files(home: Home) -> list[Path]:
    return sorted(
        home.settings.raw.glob("format=nearline/landing_id=*/events*.parquet")
    )


def mend(home: Home, *days: str) -> None:
    """Rewrites the page titles of some days in raw: as if the mapping were mended."""
    for path in landed_files(home):
        table = pq.read_table(path, partitioning=None)
        occurred_on = pc.cast(pc.cast(table["occurred_at"], pa.date32()), pa.string())
        is_mended = pc.and_(
            pc.is_in(occurred_on, pa.array(days)),
            pc.equal(table["event_name"], "page_view"),
        )
        titles = pc.if_else(is_mended, MENDED, table["page_title"])
        number = table.schema.get_field_index("page_title")
        table = table.set_column(number, table.schema.field(number), titles)
        pq.write_table(table, path)


def mended_days(home: Home, source: str) -> list[str]:
    return [
        str(row[0])
        for row in home.published(
            "select distinct event_date from {fct_events} "
            f"where page_title = '{MENDED}' and source = '{source}' order by 1"
        )
    ]


def changes_of(home: Home, release: str) -> dict[str, dict[str, Any]]:
    path = home.settings.quality / release / "changes.json"
    return {table["table"]: table for table in json.loads(path.read_text())["tables"]}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@dataclass
class Reader:
    """Reads two facts of what is published, again and again."""

    home: Home
    releases: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def read(self) -> None:
        try:
            release = self.home.settings.published.resolve()
            [(events, in_sessions)] = duckdb.sql(
                f"select (select count(*) from {scan(release, 'fct_events')}), "
                f"(select sum(event_count) from {scan(release, 'fct_sessions')})"
            ).fetchall()
        except (duckdb.Error, OSError) as problem:
            self.problems.append(str(problem))
            return
        if not events or events != in_sessions:
            self.problems.append(f"{events} events, {in_sessions} in sessions")
        if release.name not in self.releases:
            self.releases.append(release.name)


@contextmanager
def reading(home: Home) -> Iterator[Reader]:
    reader = Reader(home)
    with repeated(reader.read, 0.02):
        yield reader


def test_readers_see_the_old_tables_or_the_new_while_all_are_rebuilt(
    home: Home,
) -> None:
    before = home.settings.published.resolve().name
    old_file = home.settings.warehouse.stat().st_ino

    with reading(home) as reader:
        done = home.nearline("run", "--full-refresh", "--json")

    after = home.settings.published.resolve().name
    assert reader.problems == []
    assert reader.releases == [before, after]
    assert home.settings.warehouse.stat().st_ino != old_file
    assert not home.settings.rebuild.exists()
    told = json.loads(done.stdout)["changes"]
    assert (told["before"], told["after"]) == (before, after)
    assert all(
        table["added"] == table["removed"] == table["changed"] == 0
        for table in told["tables"]
    )
    manifest = json.loads((home.settings.published / "manifest.json").read_text())
    # Another build: no day may be taken from the release before it.
    assert manifest["tables"]["fct_events"]["linked_days"] == 0


def test_backfill_takes_up_the_days_and_the_source_that_were_named(home: Home) -> None:
    mend(home, *CLI_DAYS, DAGSTER_DAY, LEFT_DAY)
    first, last = CLI_DAYS

    done = home.nearline("run", "--from", first, "--to", last, "--source", "shop_web")

    assert mended_days(home, "shop_web") == list(CLI_DAYS)
    assert mended_days(home, "shop_app") == []
    release = home.settings.published.resolve().name
    changes = changes_of(home, release)
    [(count,)] = home.published(
        f"select count(*) from {{fct_events}} where page_title = '{MENDED}'"
    )
    events = changes["fct_events"]
    assert (events["added"], events["removed"], events["changed"]) == (0, 0, count)
    assert changes["fct_page_views"]["changed"] > 0
    assert changes["fct_sessions"]["changed"] == 0
    assert f"{count:,} changed" in done.stdout
    assert MENDED not in (home.settings.quality / release / "changes.json").read_text()
    manifest = json.loads((home.settings.published / "manifest.json").read_text())
    assert manifest["tables"]["fct_events"]["linked_days"] > 2


def test_day_picked_in_dagster_is_backfilled_when_the_run_before_it_has_ended(
    home: Home,
) -> None:
    code = (
        "import dagster as dg, sys, warnings\n"
        "warnings.simplefilter('ignore')\n"
        "from orchestration.definitions import defs\n"
        "job = defs().resolve_job_def('backfill')\n"
        "print('loaded', flush=True)\n"
        "with dg.DagsterInstance.get() as instance:\n"
        "    done = job.execute_in_process(\n"
        "        partition_key=sys.argv[1], instance=instance, raise_on_error=False)\n"
        "sys.exit(not done.success)\n"
    )
    with holding_the_warehouse(home) as release_lock:
        run = subprocess.Popen(
            [sys.executable, "-c", code, DAGSTER_DAY],
            env={**home.environment(), "DAGSTER_HOME": str(home.settings.dagster)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert run.stdout is not None
        assert any("loaded" in line for line in run.stdout)
        time.sleep(3)
        assert run.poll() is None
        release_lock()
        run.communicate(timeout=300)

    assert run.returncode == 0
    assert mended_days(home, "shop_web") == [*CLI_DAYS, DAGSTER_DAY]
    assert DAGSTER_DAY in mended_days(home, "shop_app")
    assert changes_of(home, home.settings.published.resolve().name)


@contextmanager
def holding_the_warehouse(home: Home) -> Iterator[Callable[[], None]]:
    import fcntl

    with home.settings.run_lock.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "2026-03-05", "--to", "2026-03-04"], "is after --to"),
        (["--from", "2026-03-05", "--to", "2099-01-01"], "in the future"),
        (["--from", "yesterday", "--to", "2026-03-05"], "is not a date"),
        (["--from", "2026-03-05"], "--from needs --to"),
        (
            ["--from", "2026-03-05", "--to", "2026-03-05", "--source", "shop"],
            "known sources: shop_app, shop_web",
        ),
        (
            ["--from", "2026-03-05", "--to", "2026-03-05", "--full-refresh"],
            "leave out --full-refresh",
        ),
    ],
)
def test_options_that_mean_nothing_end_in_words_before_anything_runs(
    home: Home, options: list[str], words: str
) -> None:
    done = home.nearline("run", *options, exit_code=2)

    assert words in done.stderr


def test_backfill_of_a_home_without_tables_ends_in_words(tmp_path: Path) -> None:
    done = Home(tmp_path).nearline(
        "run", "--from", "2026-03-05", "--to", "2026-03-05", exit_code=2
    )

    assert "nothing is published yet" in done.stderr


def test_rebuild_that_fails_a_check_leaves_warehouse_and_release(home: Home) -> None:
    published, warehouse = home.fingerprint(), digest(home.settings.warehouse)
    landing = landed_files(home)[-1].parent
    planted = landing.with_name(f"landing_id={90_000_001:08d}")
    shutil.copytree(landing, planted)
    file = planted / landed_files(home)[-1].name
    table = pq.read_table(file, partitioning=None).slice(0, 1)
    for name, text in (
        ("event_id", "e_planted"),
        ("page_title", "Order of jane.roe@example.org"),
    ):
        number = table.schema.get_field_index(name)
        column = pa.array([text], table.schema.field(number).type)
        table = table.set_column(number, table.schema.field(number), column)
    pq.write_table(table, file)
    remember_verified(
        home.settings, "nearline", unverified_files(home.settings, "nearline")
    )

    try:
        done = home.nearline("run", "--full-refresh", exit_code=4)
    finally:
        shutil.rmtree(planted)

    assert "fct_events.page_title" in done.stderr
    assert home.fingerprint() == published
    assert digest(home.settings.warehouse) == warehouse
    # What a refused rebuild would have changed can be looked up.
    changes = changes_of(home, home.settings.candidate.resolve().name)
    assert changes["fct_events"]["examples"]["added"] == [{"event_id": "e_planted"}]
    assert changes["fct_events"]["removed"] == 0


def test_rebuild_that_forgets_somebody_and_is_killed_is_finished_by_the_next_run(
    home: Home,
) -> None:
    visitor, event_id = home.published(
        "select visitor_id, min(event_id) from {fct_events} group by 1 "
        "order by count(*) desc, 1 limit 1"
    )[0]
    published, warehouse = home.fingerprint(), digest(home.settings.warehouse)
    built = home.settings.rebuild / home.settings.warehouse.name
    card = home.settings.rebuild / "rebuild.json"
    card_of_refused = card.read_text()
    home.nearline("privacy", "suppress", "--visitor", visitor, "--reason", "erased")

    run = subprocess.Popen(
        [str(NEARLINE), "run"],
        env=home.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (
        built.exists() and card.exists() and card.read_text() != card_of_refused
    ):
        assert run.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()

    assert home.fingerprint() == published
    assert digest(home.settings.warehouse) == warehouse

    with reading(home) as reader:
        home.nearline("run")

    assert reader.problems == []
    assert not home.settings.rebuild.exists()
    assert holders_of(home, visitor.encode(), event_id.encode()) == []


def holders_of(home: Home, *texts: bytes) -> list[str]:
    """Files of tables, reports and stores in which somebody is still to be found."""
    settings = home.settings
    found = []
    with duckdb.connect(str(settings.warehouse), read_only=True) as warehouse:
        for (table,) in warehouse.execute(
            "select table_name from duckdb_tables() where not internal"
        ).fetchall():
            for row in warehouse.execute(f"select * from {table}").fetchall():
                if any(text.decode() in map(str, row) for text in texts):
                    found.append(table)
    for folder in (settings.releases, settings.quality, settings.models):
        for file in filter(Path.is_file, folder.rglob("*")):
            if file.suffix == ".parquet":
                content = str(pq.read_table(file, partitioning=None).to_pylist())
            else:
                content = file.read_text()
            if any(text.decode() in content for text in texts):
                found.append(str(file))
    for file in settings.home.glob("*.duckdb*"):
        if any(text in file.read_bytes() for text in texts):
            found.append(file.name)
    return found

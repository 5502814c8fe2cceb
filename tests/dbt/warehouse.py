"""A `$NEARLINE_HOME` of its own with a warehouse, built by real dbt in real processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from nearline.landing.landings import Landing, land_file
from nearline.log import EVENTS, NewRecord, open_log
from nearline.online import refresh_online_store
from nearline.publication.releases import publish, write_candidate
from nearline.settings import Settings
from tests.dbt.dbt_runs import run_dbt

DBT_PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
DBT = Path(sys.executable).with_name("dbt")
EXPERIMENTS = Path(__file__).with_name("experiments")
"""Definitions of their own: of persons, and of those who saw one variant alone."""
PROVENANCE = frozenset({"landing_id", "source_file", "source_row"})
"""Which landing an event came from: told by the arrival, so it differs by its order."""

BUILD = ("build", "--exclude-resource-type", "unit_test")
"""Models and data tests. Unit tests judge the code, whatever the data: once is enough."""

PATIENCE = 900.0
"""Seconds that dbt may take before the machine is taken for stuck."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Warehouse:
    """One home. `target` is where dbt keeps what it parsed; homes share it in turn.

    `project` is the dbt project that builds it: ours, or a copy that a test broke.
    """

    home: Path
    target: Path
    project: Path = DBT_PROJECT

    @property
    def settings(self) -> Settings:
        return Settings(home=self.home, dbt_project=self.project)

    @property
    def file(self) -> Path:
        return self.settings.warehouse

    def land(self, events: Iterable[Row], name: str) -> Landing:
        """Lands events as one file of JSON lines."""
        self.home.mkdir(parents=True, exist_ok=True)
        path = self.home.with_name(f"{self.home.name}-{name}.jsonl")
        path.write_text("".join(json.dumps(event) + "\n" for event in events))
        landing = land_file(self.settings, path, "nearline")
        assert landing.rejected_count == 0, "see rejects.parquet of the landing"
        return landing

    def arrive(self, events: Iterable[Row]) -> None:
        """Appends events to the log, as the collector does."""
        self.settings.log.mkdir(parents=True, exist_ok=True)
        with closing(open_log(self.settings, EVENTS)) as log:
            log.append(
                [
                    NewRecord(event["visitor_id"], json.dumps(event).encode())
                    for event in events
                ]
            )

    def publish(self, name: str, now: datetime, *arguments: str) -> None:
        """Runs dbt with `arguments` besides, publishes a release, fills the store."""
        self.dbt("run", *arguments)
        release = write_candidate(self.settings, name, "test", now)
        publish(self.settings, release)
        refresh_online_store(
            self.settings, release, pause=lambda seconds: None, now=now
        )

    def dbt(self, *arguments: str, timeout: float = PATIENCE) -> str:
        """Runs dbt to its end and expects it to succeed; returns what it printed."""
        done = self._run(arguments, timeout)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        return done.stdout

    def dbt_refusal(self, *arguments: str) -> str:
        """Runs dbt and expects it to fail; returns what it printed."""
        done = self._run(arguments)
        assert done.returncode != 0, done.stdout[-4000:]
        return done.stdout

    def kill_dbt_at(self, marker: str, *arguments: str) -> None:
        """Runs dbt and kills it (SIGKILL) as soon as it prints `marker`."""
        with subprocess.Popen(
            [str(DBT), "--no-use-colors", *arguments],
            cwd=self.project,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if marker in line:
                    process.kill()
                    break
            else:
                raise AssertionError(f"dbt ended and never printed {marker!r}")
        assert process.returncode < 0

    def copy_to(self, home: Path) -> "Warehouse":
        shutil.copytree(self.home, home)
        return replace(self, home=home)

    def rows(self, query: str) -> list[Row]:
        """Rows of a query, a dict each."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            found = connection.execute(query)
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def tables(self) -> dict[str, list[str]]:
        """Tables that dbt built, with their columns; views hold nothing of their own."""
        return {
            row["table_name"]: row["columns"]
            for row in self.rows(
                "select table_name, list(column_name order by column_index) as columns "
                "from duckdb_columns() where table_name in "
                "(select table_name from duckdb_tables() where not internal) "
                "group by table_name order by table_name"
            )
        }

    def _run(
        self, arguments: Sequence[str], timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        return run_dbt(
            ("--no-use-colors", *arguments), self.project, self._environment(), timeout
        )

    def _environment(self) -> dict[str, str]:
        # dbt parses anew, for seconds, when the path of the home changes: so all homes
        # take turns behind one link.
        link = self.target / "home"
        link.unlink(missing_ok=True)
        link.symlink_to(self.home, target_is_directory=True)
        return {
            **os.environ,
            "NEARLINE_HOME": str(link),
            "NEARLINE_EXPERIMENTS": str(EXPERIMENTS),
            "DBT_TARGET_PATH": str(self.target),
            "DBT_LOG_PATH": str(self.target),
            # A quarter of a small run; whoever reads the manifest asks for it.
            "DBT_WRITE_JSON": "false",
            "DBT_LOG_LEVEL_FILE": "none",
        }


def differences(
    one: Warehouse, other: Warehouse, ignored: frozenset[str] = frozenset()
) -> dict[str, str]:
    """What differs, table by table, row for row, in every column but `change_seq`."""
    found = {}
    for table, sides in differing_rows(one, other, ignored).items():
        for side, rows in sides.items():
            if rows:
                found[f"{table}, only in {side}"] = f"{len(rows)}, as {rows[0]}"
    return found


def differing_rows(
    one: Warehouse, other: Warehouse, ignored: frozenset[str] = frozenset()
) -> dict[str, dict[str, list[Row]]]:
    """Rows that `one` or `other` has alone, of each table in which they differ."""
    tables = one.tables()
    assert tables == other.tables()
    found = {}
    with duckdb.connect() as connection:
        connection.execute(f"attach '{one.file}' as one (read_only)")
        connection.execute(f"attach '{other.file}' as other (read_only)")
        for table, columns in tables.items():
            names = [name for name in columns if name not in ignored | {"change_seq"}]
            sides = {}
            for left, right in (("one", "other"), ("other", "one")):
                rows = connection.execute(
                    f"select {', '.join(names)} from {left}.{table} except all "
                    f"select {', '.join(names)} from {right}.{table}"
                ).fetchall()
                sides[left] = [dict(zip(names, row, strict=True)) for row in rows]
            if any(sides.values()):
                found[table] = sides
    return found

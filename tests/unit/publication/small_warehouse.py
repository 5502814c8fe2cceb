"""A literal warehouse with every published table, and what a release says of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from nearline.publication.releases import publish, write_candidate
from nearline.publication.tables import scan
from nearline.settings import Settings
from tests.releases import PUBLISHED_TABLES

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAYS = ("2026-03-01", "2026-03-02", "2026-03-03")
FACTS = {table.name: table for table in PUBLISHED_TABLES if table.day_column}


def build_warehouse(settings: Settings) -> None:
    """Two rows a day in each table cut by day, two rows in every other table."""
    settings.home.mkdir(parents=True)
    change(
        settings,
        "create table int_events__deduplicated (source_format varchar, landing_id int)",
        "insert into int_events__deduplicated values "
        "('nearline', 1), ('nearline', 3), ('rees46', 2)",
        *(
            f"create table {table.name} as select * from (values (1, 'a'), (2, 'b')) "
            "as rows (row_number, value)"
            for table in PUBLISHED_TABLES
            if table.name not in FACTS
        ),
        *(statement for name in FACTS for statement in build_fact(name)),
    )


def build_fact(name: str, build: str = "first") -> list[str]:
    """SQL that builds a fact anew, as dbt does with `--full-refresh`."""
    table = FACTS[name]
    rows = ", ".join(
        f"('{day}-{number}', date '{day}', timestamp '{day} 12:00:00', {number}, 1)"
        for day in DAYS
        for number in (1, 2)
    )
    session = "" if table.key[0] == "session_id" else ", 's' as session_id"
    return [
        f"create or replace table {name} as select *{session} from (values {rows}) "
        f"as rows ({table.key[0]}, {table.day_column}, received_at, value, change_seq)",
        f"comment on table {name} is 'built by {build}'",
    ]


def change(settings: Settings, *statements: str) -> None:
    """Runs SQL in the warehouse."""
    with duckdb.connect(str(settings.warehouse)) as warehouse:
        for statement in statements:
            warehouse.execute(statement)


def write(settings: Settings, release_id: str) -> Path:
    return write_candidate(settings, release_id, "test", NOON)


def write_and_publish(settings: Settings, release_id: str) -> Path:
    release = write(settings, release_id)
    publish(settings, release)
    return release


def day_files(release: Path, table: str) -> dict[str, Path]:
    """Files of a fact by day."""
    files = sorted((release / f"{table}.parquet").glob("day=*/*.parquet"))
    return {file.parent.name.removeprefix("day="): file for file in files}


def written_days(before: Path, after: Path, table: str) -> list[str]:
    """Days of a fact whose file is not the very file of the release before."""
    known = {day: file.stat().st_ino for day, file in day_files(before, table).items()}
    return [
        day
        for day, file in day_files(after, table).items()
        if file.stat().st_ino != known.get(day)
    ]


def rows_of(release: Path, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return duckdb.sql(
        f"select {columns} from {scan(release, table)} order by all"
    ).fetchall()

"""Checks a candidate release, or raw files, and says what was found.

Belongs here: which suites meet which tables, and the words of the results. Not here:
what a failure stops; callers ask `blocking(results)`.

    results = check_release(release, settings.quality, settings.site / "data_docs")
    if blocking(results): ...

Tables are read as views over Parquet in a DuckDB file that lives for one call and holds
nothing but the views and the privacy counts.
"""

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import duckdb

from expectations.checks import Columns, Family, Suite
from expectations.data_docs import build_data_docs
from expectations.privacy import (
    Finding,
    find_in_table,
    privacy_suites,
    quoted,
    write_findings,
)
from expectations.results import (
    CHECKS_FILE,
    CheckResult,
    blocking,
    write_checks,
)
from expectations.suites import RAW_SUITES, release_suites
from expectations.suites.raw import (
    NEARLINE_COLUMNS,
    declared_columns,
    declared_suite,
)
from expectations.validation import (
    Evaluation,
    Outcome,
    column_mismatches,
    evaluate,
)
from nearline.errors import InputError
from nearline.events.contract import Event, schema_file_name
from nearline.landing.declarations import find_declarations
from nearline.publication.tables import published_tables, scan
from nearline.settings import load_settings
from nearline.sql_text import literal

__all__ = ["CheckResult", "blocking", "check_raw", "check_release"]

_SQL_TYPES = {
    Family.TEXT: "varchar",
    Family.INTEGER: "bigint",
    Family.NUMBER: "double",
    Family.BOOLEAN: "boolean",
    Family.TIMESTAMP: "timestamp",
}


def _now() -> datetime:
    return datetime.now(UTC)


def check_release(
    release_dir: Path,
    quality_dir: Path,
    data_docs_dir: Path | None = None,
    *,
    required_tables: Collection[str] | None = None,
    clock: Callable[[], datetime] = _now,
) -> list[CheckResult]:
    """Checks every table of a candidate release; publishes and stops nothing.

    Writes `<quality_dir>/<release_dir.name>/checks.json` (format: `write_checks`) and,
    given `data_docs_dir`, the Data Docs, in place of those that were there.

    Args:
        required_tables: those whose absence is an error that blocks (an empty one passes);
            None: all that are published.

    Raises:
        InputError: `release_dir` is no directory, or a feature view is described in a
            way that cannot be served.
    """
    if not release_dir.is_dir():
        raise InputError(f"no release at {release_dir}; build one first")
    dbt_project = load_settings().dbt_project
    if required_tables is None:
        required_tables = {table.name for table in published_tables(dbt_project)}
    # From the files, not from a list: privacy covers what nobody declared, too.
    present = sorted(entry.stem for entry in release_dir.glob("[!.]*.parquet"))
    sources = {table: scan(release_dir, table) for table in present}
    absent = [
        CheckResult(
            table,
            "is_in_the_release",
            "block",
            "errored",
            f"{table}: is not in the release, so nothing of it could be checked",
            0,
            0.0,
        )
        for table in sorted(set(required_tables) - set(present))
    ]
    checked_at = clock()
    found, evaluation = _check(sources, release_suites(dbt_project), with_privacy=True)
    results = absent + found
    write_checks(
        quality_dir / release_dir.name / CHECKS_FILE,
        release_dir.name,
        results,
        checked_at,
    )
    if data_docs_dir is not None:
        build_data_docs(
            evaluation, results, data_docs_dir, release_dir.name, checked_at
        )
    return results


def check_raw(
    files: Sequence[Path],
    format_name: str,
    data_docs_dir: Path | None = None,
    *,
    with_privacy: bool = True,
    clock: Callable[[], datetime] = _now,
) -> list[CheckResult]:
    """Checks landed files of one format, all together as table `raw_<format>_events`.

    Args:
        files: `events*.parquet` files below `landing_id=…` folders, whose number
            becomes a column. None at all gives no results.

    Raises:
        InputError: a format without a suite.
    """
    declared = find_declarations(load_settings().dbt_project)
    if format_name not in RAW_SUITES and format_name not in declared:
        known = ", ".join([*RAW_SUITES, *declared])
        raise InputError(f"no suite for format '{format_name}'; use one of {known}")
    if not files:
        return []
    if format_name in declared:
        suite = declared_suite(declared[format_name])
    else:
        suite = RAW_SUITES[format_name]
    listed = ", ".join(map(literal, files))
    source = (
        f"read_parquet([{listed}], union_by_name = true, hive_partitioning = true, "
        "hive_types = {'landing_id': INTEGER})"
    )
    if format_name == "nearline":
        source = _with_absent_columns(source, _later_columns())
    elif format_name in declared:
        source = _with_absent_columns(source, declared_columns(declared[format_name]))
    checked_at = clock()
    results, evaluation = _check({suite.table: source}, [suite], with_privacy)
    if data_docs_dir is not None:
        build_data_docs(evaluation, results, data_docs_dir, suite.table, checked_at)
    return results


def _later_columns() -> dict[str, Family]:
    """The fields that minor versions added: older files lack them, which is right.

    Columns of the first version are not among them: where one is missing, it is missed.
    """
    first = resources.files("nearline.events") / "schemas" / schema_file_name("1.0")
    known = json.loads(first.read_text())["properties"]
    return {
        name: NEARLINE_COLUMNS[name] for name in Event.model_fields if name not in known
    }


def _with_absent_columns(source: str, columns: Mapping[str, Family]) -> str:
    """With nulls for those columns that a file does not have."""
    nulls = [
        f"null::{_SQL_TYPES[family]} as {quoted(name)}"
        for name, family in columns.items()
    ]
    if not nulls:
        return source
    return (
        f"(select {', '.join(nulls)} where false "
        f"union all by name select * from {source})"
    )


def _check(
    sources: Mapping[str, str], suites: Sequence[Suite], with_privacy: bool
) -> tuple[list[CheckResult], Evaluation]:
    with tempfile.TemporaryDirectory(prefix="nearline-checks-") as scratch:
        database = Path(scratch) / "checks.duckdb"
        with duckdb.connect(str(database)) as connection:
            columns, row_counts, unreadable = _open_views(connection, sources)
            findings = [
                finding
                for table in columns
                if with_privacy
                for finding in find_in_table(connection, table, columns[table])
            ]
            write_findings(connection, findings)
            mismatches = {
                suite.table: column_mismatches(
                    check.rule.families, columns[suite.table], connection
                )
                for suite in suites
                if suite.table in columns
                for check in suite.checks
                if isinstance(check.rule, Columns)
            }
        asked = [suite for suite in suites if suite.table in columns]
        if with_privacy:
            asked += privacy_suites(tuple(columns), findings)
        evaluation = evaluate(database, asked)
    by_check = {(finding.table, finding.check_name): finding for finding in findings}
    results = unreadable + [
        _result(outcome, row_counts, mismatches, by_check)
        for outcome in evaluation.outcomes
    ]
    return results, evaluation


def _open_views(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[str, str]
) -> tuple[dict[str, list[tuple[str, str]]], dict[str, int], list[CheckResult]]:
    """Columns and row counts of the tables that can be read, errors for the others."""
    columns, row_counts, unreadable = {}, {}, []
    connection.execute("set timezone = 'UTC'")
    for table, source in sources.items():
        view = quoted(table)
        try:
            connection.execute(f"create view {view} as select * from {source}")
            described = connection.execute(f"describe {view}").fetchall()
            counted = connection.execute(f"select count(*) from {view}").fetchall()
        except duckdb.Error as error:
            connection.execute(f"drop view if exists {view}")
            unreadable.append(
                CheckResult(
                    table,
                    "is_readable",
                    "block",
                    "errored",
                    f"{table}: its files could not be read ({type(error).__name__})",
                    0,
                    0.0,
                )
            )
            continue
        columns[table] = [(row[0], row[1]) for row in described]
        row_counts[table] = int(counted[0][0])
    return columns, row_counts, unreadable


def _result(
    outcome: Outcome,
    row_counts: Mapping[str, int],
    mismatches: Mapping[str, str],
    findings: Mapping[tuple[str, str], Finding],
) -> CheckResult:
    table, check = outcome.suite.table, outcome.check
    row_count = row_counts[table]
    finding = findings.get((table, check.name))
    if outcome.suite.topic != "privacy":
        finding = None
    where = f"{table}.{check.column}" if check.column else table
    if outcome.status == "passed":
        rows = _counted(row_count, "row")
        message = f"{where}: keeps the rule that {check.says} ({rows})"
    elif outcome.status == "errored":
        problem = outcome.problem
        if finding is not None and finding.problem:
            problem = f"the column could not be read ({finding.problem})"
        message = f"{where}: could not be asked whether {check.says}: {problem}"
    else:
        times = _counted(outcome.offence_count or 0, "time")
        detail = f"{times} in {_counted(row_count, 'row')}"
        if isinstance(check.rule, Columns):
            detail = mismatches.get(table, detail)
        elif finding is not None and finding.kinds:
            detail = f"{detail}; found: {', '.join(finding.kinds)}"
        message = f"{where}: breaks the rule that {check.says} ({detail})"
    return CheckResult(
        table=table,
        check=check.name,
        severity=check.severity.value,
        status=outcome.status,
        message=message,
        checked_row_count=row_count,
        seconds=outcome.seconds + (finding.seconds if finding else 0.0),
        column=check.column,
        topic="privacy" if outcome.suite.topic == "privacy" else "quality",
    )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

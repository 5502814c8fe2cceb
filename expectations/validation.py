"""Asks Great Expectations, and lets nothing of the data out with its answers.

Belongs here: turning a declared check into an expectation on DuckDB, telling an error
from a failure, cleaning results. Not here: what is checked, pages (`data_docs.py`).

The library is imported inside functions: it takes seconds that no `--help` needs.
"""

import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expectations.checks import (
    Between,
    Check,
    Columns,
    Family,
    NoRows,
    NotNull,
    OneOf,
    Severity,
    Suite,
    Unique,
)
from expectations.great_expectations_on_duckdb import keep_duckdb_connection_open
from expectations.results import Status

# SUMMARY gives counts; without partial lists it carries no value.
_RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
# What of a result may stay: all of them numbers.
_COUNTS = (
    "element_count",
    "unexpected_count",
    "unexpected_percent",
    "missing_count",
    "missing_percent",
    "unexpected_percent_total",
    "unexpected_percent_nonmissing",
    "observed_value",
)
_FAMILY_OF_TYPE = r"""
    case
        when data_type in ('VARCHAR', 'JSON') or data_type like 'ENUM%' then 'text'
        when regexp_full_match(data_type, 'U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER')
            then 'integer'
        when data_type in ('FLOAT', 'DOUBLE') or data_type like 'DECIMAL%' then 'number'
        when data_type = 'BOOLEAN' then 'boolean'
        when data_type like 'TIMESTAMP%' and data_type not like '%TIME ZONE'
            then 'timestamp'
        when data_type = 'DATE' then 'date'
        when data_type = 'VARCHAR[]' then 'list of texts'
        when regexp_full_match(data_type, '((TINY|SMALL|BIG)INT|INTEGER)\[\]')
            then 'list of integers'
        else 'other'
    end
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check's answer. `offence_count` is None where it could not be asked."""

    suite: Suite
    check: Check
    status: Status
    offence_count: int | None
    problem: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All answers, and what Data Docs are built from (clean already)."""

    outcomes: tuple[Outcome, ...]
    context: Any
    validations: tuple[tuple[str, Any], ...]


def evaluate(database: Path, suites: Sequence[Suite]) -> Evaluation:
    """Asks every suite of the tables and views in a DuckDB file.

    Great Expectations opens the file for writing, so no other process may hold it.
    """
    # Before the loggers are silenced they must exist.
    context = _open_context()
    with quiet_library():
        datasource = context.data_sources.add_sql(
            "tables", connection_string=f"duckdb:///{database}", create_temp_table=False
        )
        _keep_errors_apart(datasource.get_execution_engine().engine)
        outcomes: list[Outcome] = []
        validations = []
        try:
            for suite in suites:
                started = time.perf_counter()
                validation = _validate(context, datasource, suite)
                seconds = time.perf_counter() - started
                outcomes.extend(_outcomes(suite, validation, seconds))
                validations.append((_suite_name(suite), validation))
        finally:
            _close(datasource)
    return Evaluation(tuple(outcomes), context, tuple(validations))


def column_mismatches(
    families: Mapping[str, Family], columns: Sequence[tuple[str, str]], connection: Any
) -> str:
    """Which declared columns are missing or of another kind, in words."""
    found = dict(
        connection.execute(
            f"""
            select column_name, {_FAMILY_OF_TYPE} as family
            from unnest($columns) as described(pair),
                lateral (select pair[1] as column_name, pair[2] as data_type) as parts
            """,
            {"columns": [list(column) for column in columns]},
        ).fetchall()
    )
    missing = [name for name in families if name not in found]
    other = [
        f"{name} is {found[name]}, not {family.value}"
        for name, family in families.items()
        if name in found and found[name] not in _accepted(family)
    ]
    parts = ([f"missing: {', '.join(missing)}"] if missing else []) + other
    return "; ".join(parts)


def _accepted(family: Family) -> tuple[str, ...]:
    if family is Family.NUMBER:
        return (Family.NUMBER.value, Family.INTEGER.value)
    return (family.value,)


def _open_context() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    keep_duckdb_connection_open()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    return context


def _keep_errors_apart(engine: Any) -> None:
    """Ends the transaction that a failed query leaves aborted.

    Otherwise every later check on the connection errs as well, and one bad check is
    told as twenty. (The driver has no autocommit.)
    """
    from sqlalchemy import event

    def roll_back(context: Any) -> None:
        if context.connection is not None:
            engine.dialect.do_rollback(context.connection.connection)

    event.listen(engine, "handle_error", roll_back)


def _validate(context: Any, datasource: Any, suite: Suite) -> Any:
    import great_expectations as gx

    asset_name = _suite_name(suite)
    asset = datasource.add_table_asset(asset_name, table_name=suite.table)
    batch = asset.add_batch_definition_whole_table("whole").get_batch()
    declared = context.suites.add(
        gx.ExpectationSuite(
            name=asset_name,
            expectations=[_expectation(suite, check) for check in suite.checks],
        )
    )
    validation = batch.validate(declared, result_format=_RESULT_FORMAT)
    for result in validation.results:
        _clean(result)
    return validation


def _expectation(suite: Suite, check: Check) -> Any:
    import great_expectations.expectations as library

    from expectations.counted_rows import ExpectNoRows

    gxe: Any = library

    shared: dict[str, Any] = {
        "severity": "critical" if check.severity is Severity.BLOCK else "warning",
        "meta": {"check": check.name},
        "description": f"{check.says} [{check.severity}]",
    }
    match check.rule:
        case NotNull(column):
            return gxe.ExpectColumnValuesToNotBeNull(column=column, **shared)
        case Unique(column):
            return gxe.ExpectColumnValuesToBeUnique(column=column, **shared)
        case Between(column, low, high):
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=low, max_value=high, **shared
            )
        case OneOf(column, values):
            return gxe.ExpectColumnValuesToBeInSet(
                column=column, value_set=list(values), **shared
            )
        case NoRows(query):
            return ExpectNoRows(
                unexpected_rows_query=_query(suite.table, query), **shared
            )
        case Columns(families):
            query = _columns_query(suite.table, families)
            return ExpectNoRows(
                unexpected_rows_query=_query(suite.table, query), **shared
            )


def _query(table: str, query: str) -> str:
    """The query of the table itself; the comment is asked for by the library.

    What the library puts for `{batch}` has an alias, so no query could give its own.
    """
    return f"{query.replace('{batch}', table)} /* {{batch}} */"


def _columns_query(table: str, families: Mapping[str, Family]) -> str:
    wanted = ", ".join(
        f"('{name}', '{accepted}')"
        for name, family in families.items()
        for accepted in _accepted(family)
    )
    return " ".join(
        f"""
        select 1 as offence
        from (values {wanted}) as wanted(column_name, family)
        left join (
            select column_name, {_FAMILY_OF_TYPE} as family
            from duckdb_columns() where table_name = '{table}'
        ) as found using (column_name)
        group by column_name
        having not coalesce(bool_or(found.family = wanted.family), false)
        """.split()
    )


def _outcomes(suite: Suite, validation: Any, seconds: float) -> Iterator[Outcome]:
    """Answers come in the library's order; the declared one is kept."""
    answers = {
        result.expectation_config.meta["check"]: result for result in validation.results
    }
    share = seconds / max(len(suite.checks), 1)
    for check in suite.checks:
        result = answers.get(check.name)
        if result is None:
            yield Outcome(suite, check, "errored", None, "was not answered", share)
        elif result.exception_info["raised_exception"]:
            problem = result.exception_info["exception_message"]
            yield Outcome(suite, check, "errored", None, problem, share)
        else:
            count = result.result.get(
                "unexpected_count", result.result.get("observed_value")
            )
            status: Status = "passed" if result.success else "failed"
            yield Outcome(suite, check, status, count, None, share)


def _clean(result: Any) -> None:
    """Leaves numbers alone in a result, and the kind of error where one was raised."""
    messages = _error_messages(result.exception_info or {})
    result.exception_info = {
        "raised_exception": bool(messages),
        "exception_message": _describe_error(messages) if messages else "",
        "exception_traceback": "",
    }
    counts = {
        name: value
        for name, value in (result.result or {}).items()
        if name in _COUNTS and isinstance(value, int | float)
    }
    # The page of a result expects the list to be there.
    result.result = {**counts, "partial_unexpected_list": []} if counts else {}


def _error_messages(exception_info: Mapping[str, Any]) -> list[str]:
    """Flat for an expectation that raised, nested by metric for a query that did."""
    if "raised_exception" in exception_info:
        if not exception_info["raised_exception"]:
            return []
        return [str(exception_info.get("exception_message"))]
    return [
        message
        for inner in exception_info.values()
        if isinstance(inner, Mapping)
        for message in _error_messages(inner)
    ]


def _describe_error(messages: Sequence[str]) -> str:
    """What went wrong, without the error's own text: DuckDB quotes values in it."""
    text = " ".join(messages)
    if re.search(r'The column "\w+" in BatchData does not exist', text):
        return "the column does not exist"
    if "metrics cannot be computed on column of type" in text:
        return "the column has another type"
    classes = sorted(set(re.findall(r"\b([A-Z]\w+(?:Exception|Error))\b", text)))
    known = [name for name in classes if name.isascii()]
    if "BinderException" in known or "CatalogException" in known:
        return "a table or column that it needs does not exist or has another type"
    return f"the query failed ({', '.join(known) or 'unknown error'})"


def _suite_name(suite: Suite) -> str:
    return f"{suite.table}.{suite.topic}"


def _close(datasource: Any) -> None:
    datasource.get_execution_engine().close()
    datasource.get_engine().dispose()


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keeps the library's log and warnings back: they quote errors, and so values."""
    loggers = [
        logging.getLogger(name)
        for name in ("great_expectations", *logging.root.manager.loggerDict)
        if name.split(".")[0] == "great_expectations"
    ]
    states = [logger.disabled for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, state in zip(loggers, states, strict=True):
                logger.disabled = state

"""The words suites are written in: a check, a suite, and the rules a check may use.

Belongs here: declarations as plain values, without Great Expectations, so that a list
of all checks costs nothing. Not here: how a rule is evaluated (`validation.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Severity(StrEnum):
    """`block` keeps a release from being published; `warn` is shown, no more."""

    BLOCK = "block"
    WARN = "warn"


class Family(StrEnum):
    """Kinds of column types; a width may change (int, bigint) and break no reader."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    TEXTS = "list of texts"
    INTEGERS = "list of integers"


@dataclass(frozen=True, slots=True)
class NotNull:
    column: str


@dataclass(frozen=True, slots=True)
class Unique:
    column: str


@dataclass(frozen=True, slots=True)
class Between:
    """Bounds are inclusive; nulls pass."""

    column: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class OneOf:
    """Nulls pass."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoRows:
    """`query` selects one row per offence, and must select the constant 1 alone.

    `{batch}` stands for the suite's table; other tables go by their names. Literal
    braces are doubled. What a query selects may be logged by whatever runs it, which is
    why no column is ever selected.
    """

    query: str


@dataclass(frozen=True, slots=True)
class Columns:
    """These columns exist and are of these families; further columns are welcome."""

    families: Mapping[str, Family]


Rule: TypeAlias = NotNull | Unique | Between | OneOf | NoRows | Columns


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold. `says` completes "the rule that …"."""

    name: str
    says: str
    rule: Rule
    severity: Severity = Severity.BLOCK
    column: str | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The checks of one table, under a topic ('quality' or 'privacy')."""

    table: str
    checks: tuple[Check, ...]
    topic: str = "quality"

    def __post_init__(self) -> None:
        names = [check.name for check in self.checks]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"suite {self.table} declares twice: {sorted(twice)}")


def has_columns(families: Mapping[str, Family]) -> Check:
    """The table has these columns, whatever others it has."""
    return Check(
        "has_its_columns", "it has the columns of its contract", Columns(families)
    )


def not_null(column: str, severity: Severity = Severity.BLOCK) -> Check:
    return Check(
        f"{column}_is_not_null",
        f"{column} is never null",
        NotNull(column),
        severity,
        column,
    )


def unique(column: str) -> Check:
    return Check(
        f"{column}_is_unique", f"{column} is unique", Unique(column), column=column
    )


def key(column: str) -> tuple[Check, Check]:
    """A primary key: never null, never twice."""
    return not_null(column), unique(column)


def unique_together(*columns: str) -> Check:
    listed = ", ".join(columns)
    return Check(
        f"{'_and_'.join(columns)}_are_unique",
        f"{listed} are unique together",
        NoRows(
            f"select 1 as offence from {{batch}} group by {listed} having count(*) > 1"
        ),
    )


def between(
    column: str,
    low: float | None,
    high: float | None = None,
    severity: Severity = Severity.BLOCK,
) -> Check:
    if high is None:
        words = f"at least {low:g}"
    else:
        words = f"at most {high:g}" if low is None else f"from {low:g} to {high:g}"
    return Check(
        f"{column}_is_in_range",
        f"{column} is {words}",
        Between(column, low, high),
        severity,
        column,
    )


def not_negative(*columns: str) -> tuple[Check, ...]:
    return tuple(between(column, 0) for column in columns)


def one_of(column: str, values: Iterable[str]) -> Check:
    listed = tuple(values)
    return Check(
        f"{column}_is_known",
        f"{column} is one of {', '.join(listed)}",
        OneOf(column, listed),
        column=column,
    )


def holds(
    name: str,
    says: str,
    condition: str,
    *,
    column: str | None = None,
    severity: Severity = Severity.BLOCK,
) -> Check:
    """Every row meets `condition`; a condition that is null (unknown) passes."""
    return no_rows(
        name,
        says,
        f"select 1 as offence from {{batch}} where not ({condition})",
        column=column,
        severity=severity,
    )


def no_rows(
    name: str,
    says: str,
    query: str,
    *,
    column: str | None = None,
    severity: Severity = Severity.BLOCK,
) -> Check:
    """`query` finds nothing; see `NoRows` for what it may select."""
    return Check(name, says, NoRows(" ".join(query.split())), severity, column)


def refers_to(
    column: str,
    table: str,
    other_column: str | None = None,
    severity: Severity = Severity.BLOCK,
) -> Check:
    """Every non-null value of `column` exists in the other table."""
    other = other_column or column
    return no_rows(
        f"{column}_exists_in_{table}",
        f"every {column} exists in {table}.{other}",
        f"""
        select 1 as offence from {{batch}} as referring
        where referring.{column} is not null and not exists (
            select 1 from {table} as referred
            where referred.{other} = referring.{column}
        )
        """,
        column=column,
        severity=severity,
    )


def share_at_most(
    name: str, says: str, part: str, whole: str, highest: float, least: int
) -> Check:
    """Warns when sum(part) / sum(whole) exceeds `highest`; silent below `least` rows.

    `part` and `whole` are row expressions; a share of a handful says nothing.
    """
    return no_rows(
        name,
        says,
        f"""
        select 1 as offence from (
            select sum({part}) as part_count, sum({whole}) as whole_count from {{batch}}
        ) as counts
        where whole_count >= {least} and part_count > {highest} * whole_count
        """,
        severity=Severity.WARN,
    )

"""No direct identifier in any published column; features of consented visitors only.

Belongs here: which columns hold ids and in what declared form, how every other column
is read, and the checks that come of it. Not here: what an identifier looks like
(`nearline.events.identifiers`, the single definition, which the door uses too).

Every column of every table is covered, also of tables and columns that nobody has
declared: the list comes from the files. Two phases, because each alone falls short.
DuckDB alone cannot undo nested percent-encoding and JSON escapes in the way the door
does; Python alone takes minutes for a million rows. So SQL reduces a column to its
distinct values and keeps those that match a pattern or that could decode to something
else, and `find_identifier` judges what is left, JSON string by JSON string. Values
live in memory while they are judged; only counts leave this module.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import duckdb

from expectations.checks import Check, NoRows, Suite, holds, no_rows
from nearline.events.contract import Key, Pseudonym
from nearline.events.identifiers import (
    EMAIL_PATTERN,
    IPV4_PATTERN,
    IPV6_PATTERN,
    PHONE_PATTERN,
    IdentifierKind,
    find_identifier,
)
from nearline.sql_text import literal

FINDINGS_TABLE = "privacy_findings"

_MAX_JSON_DEPTH = 3
_BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class IdForm:
    """The declared form of an id column: a pattern for DuckDB, and a range of lengths.

    `needs_letter` says that the pattern refuses digits alone: a number in such a column
    is most likely an account's.
    """

    name: str
    pattern: str
    needs_letter: bool = False
    least_length: int = 1
    most_length: int = 64


_PSEUDONYM = get_args(Pseudonym)[1]
PSEUDONYM = IdForm(
    "pseudonym",
    _PSEUDONYM.pattern,
    needs_letter=True,
    least_length=_PSEUDONYM.min_length,
    most_length=_PSEUDONYM.max_length,
)
KEY = IdForm("key", get_args(Key)[1].pattern)

ID_COLUMNS: Mapping[str, IdForm] = {
    **dict.fromkeys(
        (
            "visitor_id",
            "user_id",
            "contact_id",
            "previous_visitor_id",
            "previous_user_id",
            "person_id",
            "unit_id",
            "identifier",
            "other_identifier",
            "linked_to",
        ),
        PSEUDONYM,
    ),
    **dict.fromkeys(
        (
            "event_id",
            "purchase_event_id",
            "first_event_id",
            "link_event_id",
            "session_id",
            "source_session_id",
            "user_session",
            "page_view_id",
            "source_page_view_id",
            "item_id",
            "last_item_id",
            "last_cart_item_id",
            "product_id",
            "category_id",
            "order_id",
            "order_item_id",
            "content_id",
            "experiment_key",
            "variant_key",
            "element_id",
            "pseudonym_key_id",
            "control_variant_key",
            "decision_id",
        ),
        KEY,
    ),
}
"""Columns held to a form instead of to their looks: an opaque id may look like a phone
number. A column that is not named here is text, whatever it is called."""

_ITEM_ID_IN_JSON = re.compile(r'"item_id"\s*:\s*"[A-Za-z0-9_.:-]{1,64}"')
_ITEMS_COLUMN = "items"

# Matches every text in which `judge_text` finds anything (a test holds that): a pattern
# as it stands, or a sign that decoding makes one. A plus decodes to a blank, which only
# separates digits; a JSON escape hides a boundary only before digits or an IPv6 group.
_SUSPICIOUS = "|".join(
    (
        EMAIL_PATTERN,
        IPV4_PATTERN,
        IPV6_PATTERN,
        PHONE_PATTERN,
        "%[0-9A-Fa-f][0-9A-Fa-f]",
        r"[0-9)]\+[0-9]",
        r"\\u[0-9A-Fa-f]{4}",
        r"\\[nrtbf]\(?\+?[0-9]",
        r"\\[nrtbf][0-9A-Fa-f]{1,4}:",
    )
)

# Types that cannot hold a text. All others are cast to text and read, so that a list, a
# struct or a type yet unknown is not a hiding place.
_TEXTLESS = re.compile(
    r"^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DECIMAL|FLOAT|DOUBLE|BOOLEAN|DATE|TIME"
    r"|TIMESTAMP|INTERVAL|UUID)\b(?!.*\[)"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one column holds: how many rows, of which kinds, never which values.

    `problem` is the class of the error that kept the column from being read.
    """

    table: str
    column: str
    form: IdForm | None
    offending_row_count: int
    kinds: tuple[str, ...] = ()
    seconds: float = 0.0
    problem: str | None = None

    @property
    def check_name(self) -> str:
        what = "has_no_direct_identifier" if self.form is None else "has_its_form"
        return f"{self.column}_{what}"

    @property
    def says(self) -> str:
        if self.form is None:
            return f"{self.column} holds no e-mail address, phone number or IP address"
        digits = " and is not digits alone" if self.form.needs_letter else ""
        return f"{self.column} has the declared form of a {self.form.name}{digits}"


@dataclass
class _Tally:
    row_count: int = 0
    kinds: set[IdentifierKind] = field(default_factory=set)

    def add(self, kind: IdentifierKind, row_count: int) -> None:
        self.row_count += row_count
        self.kinds.add(kind)


def judge_text(text: str) -> IdentifierKind | None:
    """The kind of the first direct identifier in a text or in the JSON that it is."""
    kind = find_identifier(text)
    if kind is not None:
        return kind
    for part in _json_strings(text, _MAX_JSON_DEPTH):
        kind = find_identifier(part)
        if kind is not None:
            return kind
    return None


def _json_strings(text: str, depth: int) -> Iterator[str]:
    """Every string in a JSON text, keys and JSON inside strings included.

    Escapes hide boundaries: in `"\\n+49…"` as it stands, a letter precedes the number.
    """
    if depth == 0 or not text.lstrip().startswith(("{", "[", '"')):
        return
    try:
        value = json.loads(text)
    except ValueError:
        return
    except RecursionError:
        return
    waiting: list[Any] = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
            yield from _json_strings(value, depth - 1)
        elif isinstance(value, dict):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def find_in_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Sequence[tuple[str, str]],
) -> list[Finding]:
    """One finding for each column of `table` that can hold a text or is a declared id.

    Args:
        columns: name and DuckDB type, as `describe` gives them.
    """
    findings = []
    for column, data_type in columns:
        form = ID_COLUMNS.get(column)
        is_textless = _TEXTLESS.match(data_type) is not None
        if is_textless and (form is None or not form.needs_letter):
            continue
        started = time.perf_counter()
        try:
            if form is None or (data_type != "VARCHAR" and not is_textless):
                form = None
                tally = _judge_column(connection, table, column)
                count = tally.row_count
                kinds = tuple(sorted(kind.value for kind in tally.kinds))
            else:
                count = _count_malformed(connection, table, column, form)
                kinds = ()
            problem = None
        except duckdb.Error as error:
            # Its text may quote a value; its class does not.
            count, kinds, problem = 0, (), type(error).__name__
        findings.append(
            Finding(
                table,
                column,
                form,
                count,
                kinds,
                time.perf_counter() - started,
                problem,
            )
        )
    return findings


def _judge_column(
    connection: duckdb.DuckDBPyConnection, table: str, column: str
) -> _Tally:
    cursor = connection.execute(
        f"""
        select value, row_count
        from (
            select cast({quoted(column)} as varchar) as value, count(*) as row_count
            from {quoted(table)} group by 1
        )
        where regexp_matches(value, $pattern)
        """,
        {"pattern": _SUSPICIOUS},
    )
    tally = _Tally()
    while rows := cursor.fetchmany(_BATCH_ROWS):
        for value, row_count in rows:
            if column == _ITEMS_COLUMN:
                value = _ITEM_ID_IN_JSON.sub('"item_id":""', value)
            kind = judge_text(value)
            if kind is not None:
                tally.add(kind, row_count)
    return tally


def _count_malformed(
    connection: duckdb.DuckDBPyConnection, table: str, column: str, form: IdForm
) -> int:
    value = f"cast({quoted(column)} as varchar)"
    condition = (
        f"regexp_matches({value}, $pattern) and length({value}) "
        f"between {form.least_length} and {form.most_length}"
    )
    rows = connection.execute(
        f"select count(*) from {quoted(table)} where not ({condition})",
        {"pattern": form.pattern},
    ).fetchall()
    return int(rows[0][0])


def write_findings(
    connection: duckdb.DuckDBPyConnection, findings: Sequence[Finding]
) -> None:
    """Writes the counts where the privacy suites read them."""
    connection.execute(
        f"create table {FINDINGS_TABLE} (table_name varchar, column_name varchar, "
        "offending_row_count bigint, was_read boolean)"
    )
    if findings:
        connection.executemany(
            f"insert into {FINDINGS_TABLE} values (?, ?, ?, ?)",
            [
                [
                    finding.table,
                    finding.column,
                    finding.offending_row_count,
                    finding.problem is None,
                ]
                for finding in findings
            ],
        )


def privacy_suites(tables: Sequence[str], findings: Sequence[Finding]) -> list[Suite]:
    """One suite a table: each column that was read, and consent where it is owed."""
    suites = []
    for table in tables:
        checks = [
            _column_check(finding) for finding in findings if finding.table == table
        ]
        if table == "fct_events":
            checks.append(_ANALYTICS_CONSENT)
        if table.startswith(("ftr_visitor__", "ftr_person__")):
            checks.append(_PERSONALIZATION_CONSENT)
        if checks:
            suites.append(Suite(table, tuple(checks), topic="privacy"))
    return suites


def _column_check(finding: Finding) -> Check:
    table, column = _literal(finding.table), _literal(finding.column)
    # One row for each offending row, so that the count shown is the true one. A column
    # that was not read, or not even looked for, is an error and not a pass.
    query = (
        "select 1 as offence from (select unnest(range(case when known_count is null "
        "then error('not read') else known_count end)) from (select max(case when "
        f"was_read then offending_row_count end) as known_count from {FINDINGS_TABLE} "
        f"where table_name = {table} and column_name = {column})) as offences"
    )
    return Check(finding.check_name, finding.says, NoRows(query), column=finding.column)


_ANALYTICS_CONSENT = holds(
    "events_have_analytics_consent",
    "every event was collected under analytics consent, stated or assumed",
    "coalesce(has_analytics_consent, false)",
    column="has_analytics_consent",
)

# Declared bots alone are left out here, as in the models: a bot that gives itself away
# by its behaviour is known for one only after its features were served.
_PERSONALIZATION_CONSENT = no_rows(
    "visitors_have_consented",
    "by event_timestamp, every visitor has an event with personalization consent "
    "and without a declared bot's mark",
    """
    select 1 as offence
    from {batch} as features
    left join (
        select visitor_id, min(received_at) as consented_at
        from fct_events
        where has_personalization_consent and is_declared_bot is not true
        group by visitor_id
    ) as consents using (visitor_id)
    where consents.consented_at is null
        or consents.consented_at > features.event_timestamp
    """,
    column="visitor_id",
)


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    # Braces are doubled for the query template.
    return literal(text).replace("{", "{{").replace("}", "}}")

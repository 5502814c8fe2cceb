"""Where decisions are read from: the published table, or a file of the user's own.

Belongs here: columns, rewards by name, and whose decisions count: of one slot, with
consent to personalization, of no machine, drawn with odds by the slot's own policy, and old
enough for their outcome to be known. Not here: what is computed from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.bandits.logged import NO_CONTEXT, LoggedDecisions, logged_decisions
from nearline.errors import InputError, NearlineError
from nearline.sql_text import literal

if TYPE_CHECKING:
    from nearline.experiments.unit_file import UnitFile
    from nearline.settings import Settings

TABLE = "fct_decisions"

REWARDS = {
    "clicked": "cast(is_clicked as double)",
    "response": "coalesce(response_reward, 0)",
    "added": "cast(add_to_cart_count > 0 as double)",
    "purchased": "cast(purchase_count > 0 as double)",
    "revenue": "cast(revenue_cents as double)",
}
"""What a decision may be judged by, as SQL of the published table."""

CONTEXTS = ("segment", "source", "trigger_name")
"""Columns of the published table that are known when it is decided, and few-valued."""

# The first that applies is why a decision does not count.
_REASONS = (
    ("is_bot", "for machines"),
    ("not has_personalization_consent", "without consent to personalization"),
    ("is_suppressed", "of people on the suppression list"),
    ("is_held_out", "held out"),
    ("fallback is not null", "fallbacks, which no policy chose"),
    ("choice is null or probability is null", "without a choice or its odds"),
    ("not is_outcome_complete", "too young for their outcome"),
    ("reward is null", "with revenue in several currencies"),
)


@dataclass(frozen=True, slots=True)
class ReadDecisions:
    """Decisions, what they are called for people, and up to when they reach."""

    decisions: LoggedDecisions
    source: str
    until: datetime | None


def read_published(
    settings: "Settings",
    slot: str,
    reward: str,
    context: str | None = None,
    after: datetime | None = None,
) -> ReadDecisions:
    """The decisions of a slot in the published release.

    Args:
        reward: a key of `REWARDS`.
        context: one of `CONTEXTS`, or None for a policy that looks at nothing.
        after: only decisions later than this.

    Raises:
        NearlineError: nothing is published yet, or a release of before decisions were.
        InputError: there is no such reward, context or slot.
    """
    import duckdb

    from nearline.privacy.suppression import suppressed_rows
    from nearline.publication.tables import scan, table_path

    if reward not in REWARDS:
        raise InputError(f"--reward must be one of {', '.join(REWARDS)}")
    if context is not None and context not in CONTEXTS:
        raise InputError(f"--context must be one of {', '.join(CONTEXTS)}")
    release = settings.published.resolve()
    if not table_path(release, TABLE).exists():
        raise NearlineError(
            f"{TABLE} is not published yet; run `nearline run` once, or give --data"
        )
    reason = " ".join(f"when {sql} then {literal(words)}" for sql, words in _REASONS)
    later = "" if after is None else "and decided_at > ?"
    moments = [] if after is None else [after.astimezone(UTC).replace(tzinfo=None)]
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("listed", suppressed_rows(settings))
        # Of whoever is listed by any id, as the release knows the person.
        connection.execute(
            f"""
            create temp table suppressed as
            select person_id
            from {scan(release, "bridge_identities")}
            inner join listed
                on identifier_type = key_type and identifier = key_value
            """
        )
        connection.execute(
            f"""
            create temp table decisions as
            select *, case {reason} end as reason from (
                select
                    *,
                    person_id in (from suppressed) or exists (
                        from listed
                        where key_type = 'visitor' and key_value = visitor_id
                    ) as is_suppressed,
                    {REWARDS[reward]} as reward,
                    {context or literal(NO_CONTEXT)} as context
                from {scan(release, TABLE)}
                where slot = ? {later}
            )
            """,
            [slot, *moments],
        )
        counted = connection.execute(
            "select reason, count(*) from decisions group by reason order by reason"
        ).fetchall()
        if not counted and after is None:
            _require_slot(connection, scan(release, TABLE))
        # In an order of their own, so that folds are the same for the same table.
        rows: Any = connection.sql(
            "select choice, probability, reward, candidates, context, person_id, "
            "decided_at from decisions where reason is null order by decision_id"
        ).to_arrow_table()
    left_out = {words: count for words, count in counted if words is not None}
    moments_kept = rows.column("decided_at").to_pylist()
    return ReadDecisions(
        logged_decisions(
            rows.column("choice").to_pylist(),
            rows.column("probability").to_numpy(),
            rows.column("reward").to_numpy(),
            candidates=_known_candidates(rows.column("candidates").to_pylist()),
            contexts=[
                label or NO_CONTEXT for label in rows.column("context").to_pylist()
            ],
            units=rows.column("person_id").to_pylist(),
            left_out=left_out,
        ),
        release.name,
        max(moments_kept).replace(tzinfo=UTC) if moments_kept else None,
    )


def read_file(
    path: Path,
    reward: str,
    *,
    slot: str | None = None,
    context: str | None = None,
    unit: str | None = None,
) -> ReadDecisions:
    """Decisions from a CSV or Parquet file of one row each.

    Columns: `choice`, `probability`, and those named by `reward`, `context` and `unit`
    (by default `person_id` or `visitor_id` where there is one); `slot` where one is
    asked for; `candidates`, where there is such a column, as a list or parted by `|`.

    Raises:
        InputError: a column is missing, or holds what it must not.
    """
    from nearline.experiments.unit_file import read_column_names, read_unit_file

    names = read_column_names(path)
    if unit is None:
        unit = next(
            (name for name in ("person_id", "visitor_id") if name in names), None
        )
    optional = [name for name in ("slot", "candidates") if name in names]
    given = [name for name in (context, unit) if name]
    file = read_unit_file(path, ["choice", "probability", reward, *given, *optional])
    kept = np.ones(file.row_count, dtype=bool)
    if slot is not None or "slot" in optional:
        if "slot" not in optional:
            raise InputError(f"{path.name} has no column 'slot'; leave --slot out")
        column = file.texts("slot")
        if slot is None and len(column.labels) > 1:
            raise InputError(
                f"{path.name} holds several slots; name one with --slot, "
                f"there {_listed(column.labels)}"
            )
        slot = slot or next(iter(column.labels), "")
        if slot not in column.labels:
            raise InputError(
                f"{path.name} has no decision of --slot {slot}; "
                f"there {_listed(column.labels)}"
            )
        kept = column.codes == column.labels.index(slot)
    choices = _texts(file, "choice", kept)
    return ReadDecisions(
        logged_decisions(
            choices,
            _numbers(file, "probability")[kept],
            _numbers(file, reward)[kept],
            candidates=_candidates(file, kept) if "candidates" in optional else None,
            contexts=None if context is None else _texts(file, context, kept, "none"),
            units=None if unit is None else _texts(file, unit, kept),
        ),
        path.name,
        None,
    )


def _texts(
    file: "UnitFile", name: str, kept: "np.ndarray", fill: str | None = None
) -> list[str]:
    column = file.texts(name)
    codes = column.codes[kept]
    missing = int((codes < 0).sum())
    if missing and fill is None:
        raise InputError(
            f"column {name!r} is empty in {missing:,} of {len(codes):,} rows; "
            "leave these out"
        )
    labels = (*column.labels, fill or "")
    return [labels[code] for code in codes.tolist()]


def _numbers(file: "UnitFile", name: str) -> "np.ndarray":
    column = file.numbers(name)
    if column.missing_count:
        raise InputError(
            f"column {name!r} is empty in {column.missing_count:,} of "
            f"{file.row_count:,} rows; write 0 where nothing came of a decision, and "
            "leave out what has no odds"
        )
    finding = column.finding()
    if finding is not None:
        raise InputError(finding.sentence)
    return column.values


def _candidates(file: "UnitFile", kept: "np.ndarray") -> list[list[str] | None]:
    cells = file.table.column("candidates").to_pylist()
    return [
        cell.split("|") if isinstance(cell, str) else cell
        for cell, is_kept in zip(cells, kept, strict=True)
        if is_kept
    ]


def _known_candidates(cells: Sequence[Any]) -> list[list[str] | None]:
    """Lists as the log has them; one that lacks a name says nothing of what there was."""
    return [None if not cell or None in cell else cell for cell in cells]


def _require_slot(connection: Any, source: str) -> None:
    slots = [
        name
        for (name,) in connection.execute(
            f"select distinct slot from {source} where slot is not null order by slot"
        ).fetchall()
    ]
    # Where nothing was decided yet, that is the answer, and no mistake.
    if slots:
        raise InputError(f"--slot is none that was decided for; there {_listed(slots)}")


def _listed(names: Sequence[str]) -> str:
    return f"are {', '.join(names[:20])}" if names else "is none"

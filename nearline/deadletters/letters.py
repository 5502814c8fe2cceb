"""Finds dead letters in the raw folder, whichever way they came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from nearline.deadletters.replays import replays_table
from nearline.errors import InputError
from nearline.landing.formats import MASK
from nearline.settings import Settings
from nearline.sql_text import literal

if TYPE_CHECKING:
    import duckdb

_COLUMNS = (
    "deadletter_id",
    "received_at",
    "source_format",
    "source",
    "schema_version",
    "event_name",
    "field",
    "reason",
    "source_file",
    "source_row",
    "is_from_log",
    "replayed_at",
    "event_id",
    "row_masked",
)
_FILES = "format=*/landing_id=*/rejects*.parquet"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record. Times are UTC without zone; null means "not known".

    `fields` is the record as far as it was understood, in the form of its format, with
    the mask in place of what may not be kept.
    """

    deadletter_id: str
    received_at: datetime | None
    source_format: str
    source: str | None
    schema_version: str | None
    event_name: str | None
    field: str
    reason: str
    source_file: str
    source_row: int
    is_from_log: bool
    replayed_at: datetime | None
    event_id: str | None
    """Of the event that it became."""
    fields: dict[str, Any]


def find_letters(
    settings: Settings,
    *,
    ids: Sequence[str] | None = None,
    reason: str | None = None,
    source: str | None = None,
    is_open: bool = False,
    limit: int | None = None,
) -> list[DeadLetter]:
    """Dead letters, latest first.

    Args:
        reason: text that the field or the reason contains, in any case.
        source: the source of events, or the format of files that have none.
        is_open: only what was not replayed.
    """
    if not any(settings.raw.glob(_FILES)):
        return []
    conditions: list[str] = ["true"]
    parameters: list[str | list[str]] = []
    if ids is not None:
        conditions.append("list_contains(?, deadletter_id)")
        parameters.append(list(ids))
    if reason is not None:
        conditions.append("contains(lower(field || ': ' || reason), lower(?))")
        parameters.append(reason)
    if source is not None:
        conditions.append("coalesce(source, source_format) = ?")
        parameters.append(source)
    if is_open:
        conditions.append("replayed_at is null")
    with _connection(settings) as connection:
        found = connection.execute(
            f"""
            select {", ".join(_COLUMNS)}
            from letters left join replays using (deadletter_id)
            where {" and ".join(conditions)}
            order by received_at desc nulls last, landing_id desc, source_row desc
            {f"limit {limit:d}" if limit is not None else ""}
            """,
            parameters,
        ).fetchall()
    return [_letter(row) for row in found]


def get_letters(settings: Settings, ids: Sequence[str]) -> list[DeadLetter]:
    """The dead letters of these ids, in this order.

    Raises:
        InputError: there is none of an id.
    """
    found = {letter.deadletter_id: letter for letter in find_letters(settings, ids=ids)}
    unknown = [id_ for id_ in ids if id_ not in found]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {len(ids)} ids name no dead letter; "
            "see `nearline deadletters list`"
        )
    return [found[id_] for id_ in dict.fromkeys(ids)]


def _connection(settings: Settings) -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect()
    connection.register("replays", replays_table(settings))
    # The first branch names columns that files of earlier versions lack.
    connection.execute(
        f"""
        create temp view letters as
        select
            * exclude (deadletter_id),
            deadletter_id is not null as is_from_log,
            coalesce(deadletter_id, landing_id || '-' || source_row) as deadletter_id
        from (
            select
                null::varchar as deadletter_id,
                null::timestamp as received_at,
                null::varchar as source,
                null::varchar as schema_version
            where false
            union all by name
            select * from read_parquet(
                {literal(settings.raw / _FILES)},
                hive_partitioning = true,
                hive_types = {{'landing_id': integer}},
                union_by_name = true
            )
        )
        qualify row_number() over (
            partition by coalesce(deadletter_id, landing_id || '-' || source_row)
            order by landing_id, source_file, source_row
        ) = 1
        """
    )
    return connection


def _letter(row: Sequence[Any]) -> DeadLetter:
    columns = dict(zip(_COLUMNS, row, strict=True))
    fields = orjson.loads(columns.pop("row_masked") or "{}")
    version = columns["schema_version"]
    if version and fields.get("schema_version") == MASK:
        # A version at fault is masked as any field is, but kept beside: once an
        # upgrader knows it, the letter can be replayed as it is.
        fields["schema_version"] = version
    return DeadLetter(**columns, fields=fields)

"""Who was in which cluster from when on: one row where it changed, over all fits.

Belongs here: what a fit adds to the history, and who leaves it. Not here: periods with
an end, which SQL makes of it; files (`files`).
"""

from datetime import datetime
from typing import Any

import pyarrow as pa

from nearline.segments.naming import number_of

_FIELDS: "list[pa.Field[Any]]" = [
    pa.field("person_id", pa.string(), nullable=False),
    pa.field("segment", pa.string()),
    pa.field("known_at", pa.timestamp("us"), nullable=False),
]
HISTORY_SCHEMA = pa.schema(_FIELDS)
"""One row per person and fit that changed its segment; null where it left all."""


def extend_history(
    history: pa.Table,
    assignment: pa.Table,
    person_ids: pa.Table,
    known_up_to: datetime,
) -> pa.Table:
    """The history with what a fit changed as of `known_up_to` (UTC, naive).

    `person_ids` (column `person_id`) are the persons there are today: rows of anybody
    else are dropped, so that one who was erased is in no file of later. A fit of the
    same moment, or of one before, takes the place of what was learnt since.
    """
    import duckdb

    with duckdb.connect() as connection:
        connection.register("history", history)
        connection.register("assignment", assignment)
        connection.register("persons", person_ids)
        table: pa.Table = connection.sql(
            """
            with

            kept as (
                select *
                from history
                where
                    known_at < $known_up_to
                    and person_id in (select person_id from persons)
            ),

            latest as (
                select *
                from kept
                qualify
                    row_number() over (
                        partition by person_id order by known_at desc
                    ) = 1
            ),

            changed as (
                select
                    persons.person_id,
                    assignment.segment,
                    $known_up_to::timestamp as known_at,
                from persons
                left join assignment using (person_id)
                left join latest using (person_id)
                where assignment.segment is distinct from latest.segment
            )

            select * from kept
            union all
            select * from changed
            order by person_id, known_at
            """,
            params={"known_up_to": known_up_to},
        ).to_arrow_table()
        return table.cast(HISTORY_SCHEMA)


def highest_number(history: pa.Table) -> int | None:
    """The highest number that a cluster in the history has; None without a cluster."""
    names = history["segment"].unique().to_pylist()
    numbers = [number_of(name) for name in names if name is not None]
    return max((number for number in numbers if number is not None), default=None)

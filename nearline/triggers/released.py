"""What the published release knows of visitors: pasts, consents, segments.

Belongs here: reading its Parquet for triggers. A release knows what was before the log's
memory begins, and files that never came through the log.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from nearline.privacy.consents import PURPOSES
from nearline.publication.live_files import facts_file
from nearline.publication.tables import scan, table_path
from nearline.sql_text import parquet_rows
from nearline.triggers.engine import Change
from nearline.triggers.machine import Past
from nearline.triggers.moments import milliseconds
from nearline.triggers.state import Said


class Released:
    """One release, read by one thread. `close` it."""

    def __init__(self, release: Path) -> None:
        self.release = release
        self._connection = duckdb.connect()
        self._connection.execute("set timezone = 'UTC'")
        self._connection.execute("set threads = 1")

    def close(self) -> None:
        self._connection.close()

    def pasts(self, before: Mapping[str, int]) -> Mapping[str, Past]:
        """First and last sign of visitors, of what arrived before a moment of each."""
        path = facts_file(self.release)
        if not before or not path.exists():
            return {}
        wanted = pa.table({"visitor_id": list(before), "until": list(before.values())})
        self._connection.register("wanted", wanted)
        rows = self._rows(
            "select facts.visitor_id, epoch_ms(min(facts.occurred_at)), "
            "epoch_ms(max(facts.occurred_at)) "
            f"from {parquet_rows(path)} as facts "
            "inner join wanted using (visitor_id) "
            "where epoch_ms(facts.received_at) < wanted.until group by all"
        )
        self._connection.unregister("wanted")
        return {visitor: Past(first, last) for visitor, first, last in rows}

    def said(self, visitor_id: str, purpose: str) -> Said | None:
        """What the visitor last said of a purpose."""
        return self._consents(visitor_id, purpose).get(visitor_id)

    def said_by_person(self, visitor_id: str, purpose: str) -> Mapping[str, Said]:
        """The last words of all visitors of the visitor's person who said something."""
        return self._consents(visitor_id, purpose, is_of_person=True)

    def segment_members(self, segment: str) -> Mapping[str, Change]:
        """Persons who are in the segment, by their id."""
        return self._persons(segment, "min(valid_from) filter (where is_current)")

    def former_members(self, segment: str) -> Mapping[str, Change]:
        """Persons who were in the segment and are not any more, by their id."""
        return self._persons(
            segment, "case when not bool_or(is_current) then max(valid_to) end"
        )

    def segments(self) -> list[str]:
        """Names of all segments that somebody is or was in."""
        if not table_path(self.release, "fct_segments").exists():
            return []
        rows = self._rows(
            f"select distinct segment from {scan(self.release, 'fct_segments')} "
            "order by all"
        )
        return [name for (name,) in rows]

    def _persons(self, segment: str, since: str) -> Mapping[str, Change]:
        if not table_path(self.release, "fct_segments").exists():
            return {}
        rows = self._rows(
            f"""
            with

            periods as (
                select person_id, cast({since} as varchar) as since
                from {scan(self.release, "fct_segments")}
                where segment = $segment
                group by person_id
            )

            select person_id, since, list_sort(list(identifier)) as visitors
            from periods
            inner join {scan(self.release, "bridge_identities")} using (person_id)
            where since is not null and identifier_type = 'visitor'
            group by person_id, since
            order by person_id
            """,
            {"segment": segment},
        )
        return {
            person: Change(tuple(visitors), since) for person, since, visitors in rows
        }

    def _consents(
        self, visitor_id: str, purpose: str, *, is_of_person: bool = False
    ) -> dict[str, Said]:
        if purpose not in PURPOSES:
            raise ValueError(f"no purpose {purpose}")
        if not table_path(self.release, "dim_consents").exists():
            return {}
        consents = scan(self.release, "dim_consents")
        whose = "visitor_id = $visitor"
        if is_of_person:
            whose = f"person_id in (select person_id from {consents} where {whose})"
        rows = self._rows(
            f"select visitor_id, has_{purpose}_consent, stated_at from {consents} "
            # Consent that is assumed allows, and says no to nothing.
            f"where {whose} and (is_stated or has_{purpose}_consent)",
            {"visitor": visitor_id},
        )
        return {
            visitor: Said(bool(is_given), milliseconds(stated_at) if stated_at else 0)
            for visitor, is_given, stated_at in rows
        }

    def _rows(
        self, sql: str, params: Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._connection.execute(sql, params).fetchall()
        return rows

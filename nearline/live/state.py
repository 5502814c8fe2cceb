"""The hot state: facts of those who act, timers, and how far the log was read.

One DuckDB file, `$NEARLINE_HOME/live/state.duckdb`, written in one transaction a
micro-batch: a crash leaves all of a batch or nothing, so that no event is counted twice
or not at all. It can be deleted: the processor then starts from the release.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from nearline.errors import LockedError, NearlineError
from nearline.publication.live_files import (
    SUPPRESSED,
    accounts_file,
    facts_file,
    timers_file,
)
from nearline.sql_text import parquet_rows

VERSION = "1"

_TABLES = """
create table if not exists notes (name varchar primary key, value varchar);
create table if not exists positions (place integer primary key, next_offset varchar);
create table if not exists batches (batch bigint, place integer, next_offset varchar);
create table if not exists seen (event_id varchar, batch bigint);
create table if not exists loaded (visitor_id varchar);
create table if not exists timers (
    model varchar, entity_id varchar, due_at timestamp
);
"""


class State:
    """The state file; one process holds it.

    `facts` has the columns of the release's facts and `batch`, the micro-batch that an
    event came in; null for what was loaded from the release. `seen` has the ids of events
    that features may not use.
    """

    def __init__(self, path: Path, memory_megabytes: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.connection = duckdb.connect(str(path))
        except duckdb.IOException as problem:
            if "lock" in str(problem):
                raise LockedError("another `nearline live` is at work") from problem
            raise NearlineError(
                f"{path.name} cannot be opened ({problem}); delete it, and the processor "
                "starts from the release"
            ) from problem
        suit_few_rows(self.connection, memory_megabytes)
        self.connection.execute(_TABLES)
        self._version_holds()

    def close(self) -> None:
        with suppress(duckdb.Error):
            self.connection.execute("checkpoint")
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in it, to temporary tables too, or nothing."""
        self.connection.execute("begin")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")

    def note(self, name: str) -> str | None:
        rows = self.connection.execute(
            "select value from notes where name = ?", [name]
        ).fetchall()
        return rows[0][0] if rows else None

    def positions(self) -> dict[int, int]:
        """Next offsets by partition."""
        rows = self.connection.execute("select place, next_offset from positions")
        return {place: int(offset) for place, offset in rows.fetchall()}

    def forget(self) -> None:
        """Empties the state; facts get their columns from the next release."""
        for table in ("notes", "positions", "batches", "seen", "loaded", "timers"):
            self.connection.execute(f"delete from {table}")
        self.connection.execute("drop table if exists facts")

    def adopt(
        self,
        release: Path,
        identity: str,
        release_positions: Mapping[int, int],
        visitor_models: Sequence[str],
    ) -> None:
        """Hangs the state on `release`, in one transaction, unless it hangs on it already.

        What the release holds is dropped: everything loaded from the one before, and the
        micro-batches that lie wholly before its positions. A batch across the seam stays,
        and its events are not loaded a second time. Whoever acted since keeps a timer
        that is due at once, so that values of changed definitions are made anew.
        """
        if (self.note("release"), self.note("log")) == (release.name, identity):
            return
        connection = self.connection
        with self.transaction():
            if self.note("log") != identity or not self._has_same_columns(release):
                self.forget()
            connection.execute(
                "create table if not exists facts as select *, cast(null as bigint) "
                f"as batch from {parquet_rows(facts_file(release))} where false"
            )
            kept = self._batches_beyond(release_positions)
            connection.execute("delete from facts where batch is null")
            connection.execute("delete from loaded")
            for table in ("facts", "seen", "batches"):
                connection.execute(
                    f"delete from {table} "
                    "where not list_contains(cast(? as bigint[]), batch)",
                    [kept],
                )
            positions = {**release_positions, **self.positions()}
            for place, offset in release_positions.items():
                positions[place] = max(offset, positions[place])
            self.move_to(positions)
            connection.execute(
                "create or replace temp table all_timers as "
                "select * from timers union all "
                f"select model, entity_id, due_at from {parquet_rows(timers_file(release))} "
                "union all select unnest(?), visitor_id, timestamp '1970-01-01' "
                "from (select distinct visitor_id from facts)",
                [list(visitor_models)],
            )
            connection.execute("delete from timers")
            connection.execute(
                "insert into timers select model, entity_id, min(due_at) "
                "from all_timers group by model, entity_id"
            )
            connection.execute("drop table all_timers")
            self.write_note("release", release.name)
            self.write_note("log", identity)

    def write_note(self, name: str, value: str) -> None:
        self.connection.execute(
            "insert or replace into notes values (?, ?)", [name, value]
        )

    def move_to(self, positions: Mapping[int, int]) -> None:
        for place, offset in positions.items():
            self.connection.execute(
                "insert or replace into positions values (?, ?)", [place, str(offset)]
            )

    def last_batch(self) -> int:
        [[batch]] = self.connection.execute(
            "select coalesce(max(batch), 0) from batches"
        ).fetchall()
        return int(batch)

    def load_visitors(self, release: Path, visitors: Sequence[str]) -> None:
        """Loads what the release knows of these visitors, once for each, but for what
        names somebody in the relation `SUPPRESSED`."""
        connection = self.connection
        connection.register("wanted", pa.table({"visitor_id": list(visitors)}))
        missing = [
            visitor
            for (visitor,) in connection.execute(
                "select visitor_id from wanted anti join loaded using (visitor_id)"
            ).fetchall()
        ]
        connection.unregister("wanted")
        if not missing:
            return
        connection.execute(
            "insert into facts by name "
            f"select *, null as batch from {parquet_rows(facts_file(release))} as known "
            "where visitor_id in (select unnest(?)) and not exists ("
            "select 1 from facts where facts.event_id = known.event_id) "
            f"and not exists (select 1 from {SUPPRESSED} where {_IS_NAMED})",
            [missing],
        )
        connection.execute("insert into loaded select unnest(?)", [missing])

    def visitors_of(self, release: Path, users: str) -> list[str]:
        """Visitors that are of one of the accounts in the relation `users (user_id)`, as
        far as the release and what came since tell it."""
        visitors = self.connection.execute(
            f"select visitor_id from {parquet_rows(accounts_file(release))} "
            f"where user_id in (from {users}) union select visitor_id from facts "
            f"where batch is not null and user_id in (from {users})"
        ).fetchall()
        return [visitor for (visitor,) in visitors]

    def wake(self, models: Sequence[str], visitors: Sequence[str]) -> None:
        """Makes these visitors' values due at once."""
        self.connection.execute(
            "insert into timers select model, visitor_id, timestamp '1970-01-01' "
            "from (select unnest(?) as model), (select unnest(?) as visitor_id)",
            [list(models), list(visitors)],
        )

    def forget_suppressed(
        self, release: Path, person_models: Sequence[str]
    ) -> tuple[list[str], list[str]]:
        """Removes the facts and timers of whom the relation `SUPPRESSED` names.

        Returns the visitors whom that may have changed, and the others of their persons,
        who are due at once in `person_models`. The caller holds a transaction.
        """
        connection = self.connection
        visitors = connection.execute(
            f"select visitor_id from facts, {SUPPRESSED} where {_IS_NAMED} union "
            f"select key_value from {SUPPRESSED} where key_type = 'visitor'"
        ).fetchall()
        connection.execute(
            "create or replace temp table users_named as select user_id from "
            f"{parquet_rows(accounts_file(release))}, {SUPPRESSED} where {_IS_NAMED} union "
            f"select user_id from facts, {SUPPRESSED} where {_IS_NAMED}"
        )
        others = self.visitors_of(release, "users_named")
        connection.execute(f"delete from facts using {SUPPRESSED} where {_IS_NAMED}")
        self.wake(person_models, others)
        connection.execute(
            f"delete from timers using {SUPPRESSED} "
            "where key_type = 'visitor' and key_value = entity_id"
        )
        return sorted(visitor for (visitor,) in visitors), others

    def _batches_beyond(self, release_positions: Mapping[int, int]) -> list[int]:
        rows = self.connection.execute(
            "select batch, place, next_offset from batches"
        ).fetchall()
        return sorted(
            {
                batch
                for batch, place, offset in rows
                if int(offset) > release_positions.get(place, 0)
            }
        )

    def _has_same_columns(self, release: Path) -> bool:
        def columns(relation: str) -> list[Any]:
            return self.connection.execute(f"describe {relation}").fetchall()

        found = self.connection.execute(
            "select 1 from duckdb_tables() where table_name = 'facts'"
        ).fetchall()
        wanted = columns(f"select * from {parquet_rows(facts_file(release))}")
        return bool(found) and columns("select * exclude (batch) from facts") == wanted

    def _version_holds(self) -> None:
        if self.note("version") not in (None, VERSION):
            self.forget()
        self.write_note("version", VERSION)


def suit_few_rows(connection: duckdb.DuckDBPyConnection, memory_megabytes: int) -> None:
    """Settings for many statements over few rows each, with times in UTC."""
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"set memory_limit = '{memory_megabytes}MB'")
    # A second thread costs more than it does.
    connection.execute("set threads = 1")


_IS_NAMED = (
    "((key_type = 'visitor' and key_value = visitor_id) "
    "or (key_type = 'user' and key_value = user_id))"
)

"""Follows the event log in micro-batches and keeps online values up to date.

Belongs here: the order of things in a batch, which is what makes it whole:

1. read what the log has beyond the state's positions, and which timers are due;
2. in one transaction: add what is new to the facts, run every view's SQL over the
   touched entities, write their values to the online store, move the positions.

The store is written before the transaction ends. A crash in between repeats the batch,
which writes the same values for the same moments: the store's compare-and-set makes that
nothing. The other way round a crash would lose values until an entity acts again.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from nearline.errors import NearlineError
from nearline.file_stamps import FileStamp, file_stamp
from nearline.landing.log_positions import log_identity
from nearline.live.arrivals import Arrivals, read_arrivals
from nearline.live.making import (
    TOUCHED,
    Made,
    Makers,
    ViewFailedError,
    arrow_rows,
    facts_of,
    given,
    planned_once,
)
from nearline.live.state import State
from nearline.live.views import LiveView, RunView, live_views, run_views
from nearline.log import EVENTS, EventLog, LogRecord, open_log
from nearline.online.definitions import FEATURE_REPO, load_definitions
from nearline.online.opening import open_online_values
from nearline.online.values import OnlineValues, expire_values
from nearline.publication.live_files import (
    ACCOUNTS,
    ARRIVALS,
    ARRIVED_FACTS,
    CLOCK,
    FACTS,
    SUPPRESSED,
    UNLINKS,
    facts_file,
    read_live_models,
)
from nearline.publication.releases import read_manifest
from nearline.settings import Settings
from nearline.sql_text import parquet_rows

_LOGGER = logging.getLogger(__name__)

MAX_RECORDS = 5_000
"""Records of one micro-batch: what is held in memory, and done again after a crash."""

MAX_TIMERS = 2_000
"""Entities of one micro-batch that have not acted, but whose time has come."""

SETTLING = timedelta(seconds=2)
"""How long the door may take from an event's arrival to the log: what changes by the
passing of time is made known so much later, what changes by an event at once."""

_EXPIRE_EVERY = timedelta(minutes=1)
_MOST_MAKERS = 4

_LISTS = {
    SUPPRESSED: {"key_type": "varchar", "key_value": "varchar"},
    UNLINKS: {
        "identifier_type": "varchar",
        "identifier": "varchar",
        "other_identifier_type": "varchar",
        "other_identifier": "varchar",
        "unlinked_at": "timestamp",
    },
}
"""What operators list in files, and the columns that are read of it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one micro-batch did.

    `waited_seconds` is from the arrival of its oldest event until its values could be
    read; None where there was no event.
    """

    records: int = 0
    rejected: int = 0
    repeated: int = 0
    unused: int = 0
    facts: int = 0
    entities: int = 0
    timers: int = 0
    rows_written: int = 0
    seconds: float = 0.0
    waited_seconds: float | None = None

    @property
    def is_idle(self) -> bool:
        return not (self.records or self.timers)

    def counts(self) -> dict[str, int]:
        """What adds up over batches."""
        return {
            "records": self.records,
            "facts": self.facts,
            "repeated": self.repeated,
            "unused": self.unused,
            "rejected": self.rejected,
            "timers": self.timers,
            "rows_written": self.rows_written,
        }


@dataclass(slots=True)
class _Release:
    folder: Path
    views: list[LiveView]
    of_runs: list[RunView]
    facts_sql: str
    accounts_sql: str
    off: set[str] = field(default_factory=set)

    @property
    def person_models(self) -> list[str]:
        return sorted({v.model.name for v in self.views if v.is_of_persons})


class Processor:
    """The processor of one home. `with` closes it; what it has done is on disk.

    Args:
        clock: the time that values are made for.
        max_records: most records of a micro-batch, over all partitions.
        settling: how long after its arrival an event may still come into the log.

    Raises:
        NearlineError: nothing is published yet.
        LockedError: another processor is at work in this home.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        feature_repo: Path = FEATURE_REPO,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        max_records: int = MAX_RECORDS,
        memory_megabytes: int = 1_000,
        settling: timedelta = SETTLING,
    ) -> None:
        self._settings = settings
        self._feature_repo = feature_repo
        self._clock = clock
        self._max_records = max_records
        self._settling = settling
        self._settled_at = datetime.min.replace(tzinfo=UTC)
        self._opened = ExitStack()
        if read_manifest(settings.published) is None:
            raise NearlineError("nothing is published yet; run `nearline run` once")
        if settings.log_kind == "sqlite":
            settings.log.mkdir(parents=True, exist_ok=True)
        try:
            self._state = self._opened.enter_context(
                closing(State(settings.live / "state.duckdb", memory_megabytes))
            )
            self._connection = self._state.connection
            self._values: OnlineValues = self._opened.enter_context(
                closing(open_online_values(settings))
            )
            self._makers = self._opened.enter_context(
                closing(self._open_makers(memory_megabytes))
            )
            self._expired_at = datetime.min.replace(tzinfo=UTC)
            self._readers: dict[int, EventLog] = {}
            self._release = self._adopt(settings.published.resolve())
            for relation in _LISTS:
                self._fill(relation, None)
            # No file's, so that the first look takes up what is listed.
            self._suppression: FileStamp | None = (-1, -1, -1)
            self._unlinks: FileStamp | None = (-1, -1, -1)
        except BaseException:
            self._opened.close()
            raise

    def _open_makers(self, memory_megabytes: int) -> Makers:
        count = min(os.cpu_count() or 1, _MOST_MAKERS)
        stores = [self._values]
        # A file has one writer at a time, however often it is opened.
        if self._settings.online_store != "sqlite":
            stores += [
                self._opened.enter_context(closing(open_online_values(self._settings)))
                for _ in range(1, count)
            ]
        return Makers(count, stores, memory_megabytes, self._settings.live)

    def __enter__(self) -> "Processor":
        return self

    def __exit__(self, *failure: Any) -> None:
        self._opened.close()

    @property
    def release(self) -> str:
        """Name of the release that the state hangs on."""
        return self._release.folder.name

    @property
    def views_off(self) -> frozenset[str]:
        """Views whose SQL failed; they are tried again with the next release."""
        return frozenset(self._release.off)

    def lag(self) -> int:
        """Records of the log that are not processed yet."""
        positions = self._state.positions()
        return sum(
            max(0, end - positions.get(place, 0))
            for place, end in self._log_ends().items()
        )

    def run_batch(self) -> Batch:
        """Processes what there is now; returns at once where there is nothing.

        Raises:
            LogUnavailableError: the log is away; nothing was changed.
            NearlineError: the store cannot be written; nothing was changed.
        """
        started = time.perf_counter()
        published = self._settings.published.resolve()
        if published != self._release.folder:
            self._release = self._adopt(published)
        self._follow_suppression()
        self._follow_unlinks()
        looked_at = self._clock()
        records, is_behind = self._read()
        arrivals = read_arrivals(records, looked_at)
        now = self._settled(looked_at - self._settling, arrivals, is_behind)
        if now - self._expired_at >= _EXPIRE_EVERY:
            stored = [view.stored for view in self._release.views]
            stored += [view.stored for view in self._release.of_runs]
            expire_values(self._values, stored, now)
            self._expired_at = now
        if not records and not self._is_anything_due(now):
            return Batch()
        while True:
            try:
                return self._process(records, arrivals, now, started)
            except ViewFailedError as failure:
                _LOGGER.error(
                    "view %s is off: its SQL failed, or gave what cannot be stored (%s); "
                    "its values stay as they are until the next release",
                    failure.view,
                    failure.__cause__,
                )
                self._release.off.add(failure.view)

    def _settled(
        self, settled_at: datetime, arrivals: Arrivals, is_behind: bool
    ) -> datetime:
        """The moment up to which everything that arrived has been read.

        What changes by the passing of time is judged at it, and not at the clock: a
        session that is over by the clock may go on in a record that is still to be read,
        and a later moment, once written, is not taken back.
        """
        if is_behind:
            read_up_to = max(arrivals.received_at(), default=self._settled_at)
            settled_at = min(settled_at, read_up_to)
        self._settled_at = settled_at
        return settled_at

    def _is_anything_due(self, now: datetime) -> bool:
        off = [v.model.name for v in self._release.views if v.name in self._release.off]
        rows = self._connection.execute(
            "select 1 from timers where due_at <= ? "
            "and not list_contains(cast(? as varchar[]), model) limit 1",
            [_naive(now), off],
        ).fetchall()
        return bool(rows)

    def _process(
        self,
        records: Sequence[LogRecord],
        arrivals: Arrivals,
        now: datetime,
        started: float,
    ) -> Batch:
        views = [v for v in self._release.views if v.name not in self._release.off]
        with self._state.transaction(), planned_once():
            counts = self._add_facts(records, arrivals)
            timers = self._touch(views, now)
            facts = self._gather(views)
            rows_written = self._refresh_all(views, facts, now)
        [[entities]] = self._connection.execute(
            "select count(*) from (select distinct entity_id, join_key from touched)"
        ).fetchall()
        oldest = min(arrivals.received_at(), default=None)
        return Batch(
            records=len(records),
            rejected=arrivals.rejected_count,
            entities=entities,
            timers=timers,
            rows_written=rows_written,
            seconds=time.perf_counter() - started,
            waited_seconds=None
            if oldest is None
            else (self._clock() - oldest).total_seconds(),
            **counts,
        )

    def _read(self) -> tuple[list[LogRecord], bool]:
        """Records beyond the positions, fairly over the partitions; and whether there
        are more."""
        positions = self._state.positions()
        ends = self._log_ends()
        behind = [place for place, end in ends.items() if positions.get(place, 0) < end]
        records: list[LogRecord] = []
        is_behind = False
        for number, place in enumerate(behind):
            share = (self._max_records - len(records)) // (len(behind) - number)
            found = self._reader(place).read(place, positions.get(place, 0), share)
            # An end may lie beyond the last record that there is.
            is_behind |= bool(found) and found[-1].offset + 1 < ends[place]
            records += found
        return records, is_behind

    def _log_ends(self) -> dict[int, int]:
        return dict(self._reader(-1).ends())

    def _reader(self, place: int) -> EventLog:
        """A log of its own for each partition: going from one to another costs a seek."""
        if self._settings.log_kind != "kafka":
            place = -1
        if place not in self._readers:
            self._readers[place] = self._opened.enter_context(
                closing(open_log(self._settings, EVENTS))
            )
        return self._readers[place]

    def _adopt(self, release: Path) -> _Release:
        """Hangs the state on `release`: its SQL, its positions, its timers."""
        manifest = read_manifest(release)
        models = read_live_models(release)
        assert manifest is not None
        if ACCOUNTS not in models:
            raise NearlineError(
                "the published release has no live SQL; run `nearline run` once"
            )
        definitions = load_definitions(
            self._feature_repo, self._settings.home, self._settings.dbt_project
        )
        views = live_views(definitions, models)
        identity = log_identity(self._settings)
        positions = {}
        if manifest.log == identity:
            positions = {
                int(place): offset
                for place, offset in manifest.log_positions.get(EVENTS, {}).items()
            }
        visitor_models = sorted({v.model.name for v in views if v.is_of_visitors})
        self._state.adopt(release, identity, positions, visitor_models)
        self._makers.assign(views)
        of_runs = run_views(definitions, views)
        for stored in [*(v.stored for v in views), *(v.stored for v in of_runs)]:
            self._values.prepare(stored)
        return _Release(
            release, views, of_runs, models[ARRIVED_FACTS].sql, models[ACCOUNTS].sql
        )

    def _follow_suppression(self) -> None:
        """Takes up a change of the suppression list, and forgets whom it names."""
        # Asked for with every batch: a look at the file costs less than to read it.
        found = file_stamp(self._settings.suppression)
        if found == self._suppression:
            return
        self._fill(SUPPRESSED, self._settings.suppression if found else None)
        # The state is the last to forget: as long as the store is away, it still knows
        # whose values have to go.
        with self._state.transaction():
            gone, others = self._state.forget_suppressed(
                self._release.folder, self._release.person_models
            )
            for view in self._release.views:
                if view.is_of_visitors:
                    # Made anew in this batch: over a value that rests on more, one of an
                    # earlier moment would not be written.
                    whose = {*gone, *(others if view.is_of_persons else ())}
                    self._forget_values(view, sorted(whose))
            for of_run in self._release.of_runs:
                if of_run.is_of_visitors:
                    # Known again with the next run, which is a rebuild.
                    whose = {*gone, *(others if of_run.is_of_persons else ())}
                    self._values.delete(
                        of_run.stored, [of_run.encode_key(v) for v in sorted(whose)]
                    )
        self._suppression = found

    def _follow_unlinks(self) -> None:
        """Takes up what an operator took apart or put together again, and makes the
        values of whom that concerns due."""
        found = file_stamp(self._settings.unlinks)
        if found == self._unlinks:
            return
        connection = self._connection
        concerned = f"select other_identifier as user_id from {UNLINKS}"
        with self._state.transaction():
            connection.execute(
                f"create or replace temp table users_concerned as {concerned}"
            )
            self._fill(UNLINKS, self._settings.unlinks if found else None)
            connection.execute(f"insert into users_concerned {concerned}")
            self._state.wake(
                self._release.person_models,
                self._state.visitors_of(self._release.folder, "users_concerned"),
            )
        self._unlinks = found

    def _fill(self, relation: str, file: Path | None) -> None:
        """Makes one of `_LISTS` anew, of what `file` has."""
        columns = _LISTS[relation]
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        self._connection.execute(f"create or replace temp table {relation} ({typed})")
        if file is not None:
            self._connection.execute(
                f"insert into {relation} select {', '.join(columns)} "
                f"from {parquet_rows(file)}"
            )

    def _forget_values(self, view: LiveView, visitors: Sequence[str]) -> None:
        if visitors:
            self._values.delete(view.stored, [view.encode_key(v) for v in visitors])
            self._makers.forget(view, visitors)

    def _add_facts(
        self, records: Sequence[LogRecord], arrivals: Arrivals
    ) -> dict[str, int]:
        """Adds what is new; `new_facts` is left for those who ask what it was."""
        connection, state = self._connection, self._state
        connection.register("arrived", arrivals.events)
        connection.execute(
            "create or replace temp table arrived_in_order as "
            "select *, row_number() over () as arrival_number from arrived"
        )
        connection.unregister("arrived")
        state.load_visitors(self._release.folder, arrivals.visitors())
        connection.execute(
            f"create or replace temp table {ARRIVALS} as "
            "select * exclude (arrival_number) from arrived_in_order as arrived "
            # Joined, and not `in`: few are looked for among all that the state holds.
            "anti join seen using (event_id) anti join facts using (event_id) "
            "qualify row_number() over "
            "(partition by event_id order by received_at, arrival_number) = 1"
        )
        connection.execute(
            f"create or replace temp table new_facts as {self._release.facts_sql}"
        )
        batch = state.last_batch() + 1
        connection.execute(
            f"insert into facts by name select *, {batch} as batch from new_facts"
        )
        connection.execute(
            f"insert into seen select event_id, {batch} from {ARRIVALS} "
            "where event_id not in (select event_id from new_facts)"
        )
        positions: dict[int, int] = {}
        for record in records:
            positions[record.partition] = record.offset + 1
        state.move_to(positions)
        for place, offset in positions.items():
            connection.execute(
                "insert into batches values (?, ?, ?)", [batch, place, str(offset)]
            )
        [[events, facts]] = connection.execute(
            f"select (select count(*) from {ARRIVALS}), (select count(*) from new_facts)"
        ).fetchall()
        return {
            "repeated": arrivals.events.num_rows - events,
            "unused": events - facts,
            "facts": facts,
        }

    def _touch(self, views: Sequence[LiveView], now: datetime) -> int:
        """Fills `touched` with who acted and whose time has come; returns how many of
        the latter."""
        connection = self._connection
        connection.register(
            "models",
            pa.table(
                {
                    "model": [view.model.name for view in views],
                    "join_key": [view.join_key for view in views],
                    "tile_minutes": pa.array(
                        [view.tile_minutes for view in views], pa.int64()
                    ),
                }
            ),
        )
        connection.execute(
            "create or replace temp table acted as "
            "select 'visitor_id' as join_key, visitor_id as entity_id, received_at "
            "from new_facts union all select 'item_id', item_id, received_at "
            "from new_facts where item_id is not null"
        )
        connection.execute(
            "create or replace temp table touched as "
            "select distinct model, join_key, entity_id from acted "
            "inner join models using (join_key) where tile_minutes is null"
        )
        # What is known at the end of a tile only is not worth a look before.
        connection.execute(
            "insert into timers select distinct model, entity_id, epoch_ms("
            "(epoch_ms(received_at) + tile_minutes * 60000 - 1) "
            "// (tile_minutes * 60000) * (tile_minutes * 60000)) from acted "
            "inner join models using (join_key) where tile_minutes is not null"
        )
        connection.execute(
            "create or replace temp table due as "
            "select distinct model, join_key, entity_id from timers "
            "inner join models using (model) where due_at <= ? "
            "and (entity_id, join_key) in (select entity_id, join_key from ("
            "select entity_id, join_key, min(due_at) as first_due from timers "
            "inner join models using (model) where due_at <= ? "
            "group by entity_id, join_key order by first_due, entity_id "
            f"limit {MAX_TIMERS}))",
            [_naive(now), _naive(now)],
        )
        connection.unregister("models")
        connection.execute(
            "insert into touched select * from due anti join touched "
            "using (model, join_key, entity_id)"
        )
        [[due]] = connection.execute(
            "select count(*) from (select distinct entity_id, join_key from due)"
        ).fetchall()
        connection.execute(
            f"create or replace temp table {CLOCK} as select "
            "cast(? as timestamp) as known_from, timestamp '9999-01-01' as known_up_to",
            [_naive(now)],
        )
        return int(due)

    def _gather(self, views: Sequence[LiveView]) -> dict[str, pa.Table]:
        """The facts of whom was touched, by the names in `facts_of`."""
        facts = {
            "facts_of_visitors": self._gather_visitors(),
            "facts_of_items": self._gather_items(),
        }
        person_models = [v.model.name for v in views if v.is_of_persons]
        if person_models:
            facts["facts_of_others"] = self._gather_others(
                person_models, facts["facts_of_visitors"]
            )
        return facts

    def _gather_visitors(self) -> pa.Table:
        connection = self._connection
        connection.execute(
            "create or replace temp table visitors as select distinct "
            "entity_id as visitor_id from touched where join_key = 'visitor_id'"
        )
        found = connection.execute("from visitors").fetchall()
        self._state.load_visitors(self._release.folder, [v for (v,) in found])
        return self._facts_of("visitors")

    def _facts_of(self, visitors: str) -> pa.Table:
        """The facts of who is in the relation `visitors`.

        Found by their places first: of all that the state holds, one column is read.
        """
        self._connection.execute(
            "create or replace temp table places as "
            f"select rowid from facts where visitor_id in (from {visitors})"
        )
        return arrow_rows(
            self._connection,
            "select * exclude (batch) from facts where rowid in (from places)",
        )

    def _find_accounts(self, facts: pa.Table) -> None:
        """Fills `accounts` with what these facts tell of them."""
        connection = self._connection
        with given(connection, facts):
            connection.execute(f"create or replace temp view {FACTS} as from given")
            connection.execute(
                f"create or replace temp table accounts as {self._release.accounts_sql}"
            )

    def _gather_others(self, models: Sequence[str], of_visitors: pa.Table) -> pa.Table:
        """The facts of who was not touched, but is of an account of those who were; whose
        person changed with theirs is touched in `models`."""
        connection = self._connection
        self._find_accounts(of_visitors)
        connection.execute(
            "create or replace temp table users as select distinct user_id from accounts"
        )
        found = self._state.visitors_of(self._release.folder, "users")
        self._state.load_visitors(self._release.folder, found)
        connection.execute(
            "create or replace temp table others as "
            "select unnest(cast(? as varchar[])) as visitor_id except from visitors",
            [found],
        )
        of_others = self._facts_of("others")
        if of_others.num_rows:
            self._find_accounts(pa.concat_tables([of_visitors, of_others]))
        # Whoever left an account by what arrived just now has a new value as well.
        connection.execute(
            "insert into touched select model, 'visitor_id', visitor_id "
            "from (select unnest(?) as model), (select distinct visitor_id "
            "from accounts where user_id in (from users) "
            "and (ends_at is null "
            "or ends_at >= (select min(received_at) from new_facts))) "
            "where (model, 'visitor_id', visitor_id) not in (from touched)",
            [list(models)],
        )
        return of_others

    def _gather_items(self) -> pa.Table:
        connection = self._connection
        [[items]] = connection.execute(
            "select count(*) from touched where join_key = 'item_id'"
        ).fetchall()
        known = parquet_rows(facts_file(self._release.folder))
        history = (
            f"select * from {known} anti join "
            "(select event_id from facts where batch is not null) using (event_id) "
            "where item_id in "
            "(select entity_id from touched where join_key = 'item_id')"
        )
        return arrow_rows(
            connection,
            "select * exclude (batch) from facts where batch is not null and item_id in "
            "(select entity_id from touched where join_key = 'item_id')"
            + (f" union all by name {history}" if items else ""),
        )

    def _refresh_all(
        self, views: Sequence[LiveView], facts: Mapping[str, pa.Table], now: datetime
    ) -> int:
        """Makes and writes the values of whom was touched; returns how many were new."""
        touched = self._connection.execute(f"select distinct model from {TOUCHED}")
        models = {model for (model,) in touched.fetchall()}
        concerned = [view for view in views if view.model.name in models]
        if not concerned:
            return 0
        relations = {
            name: arrow_rows(self._connection, f"from {name}")
            for name in (TOUCHED, CLOCK, UNLINKS)
        }
        relations |= {
            name: facts[name] for view in concerned for name in facts_of(view)
        }
        made = self._makers.make(concerned, relations, now)
        self._note_timers(made)
        return sum(one.changed.num_rows for one in made)

    def _note_timers(self, made: Sequence[Made]) -> None:
        self._connection.execute(
            "delete from timers where (model, entity_id) in "
            f"(select model, entity_id from {TOUCHED})"
        )
        rows = pa.concat_tables(
            one.timers.append_column(
                "model", pa.repeat(one.view.model.name, one.timers.num_rows)
            )
            for one in made
        )
        with given(self._connection, rows):
            self._connection.execute(
                "insert into timers select model, touched_id, make_timestamp(min(due_us)) "
                "from given group by model, touched_id"
            )


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)

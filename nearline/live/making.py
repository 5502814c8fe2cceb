"""Makes the values of whom a micro-batch touched, each view's by its SQL, and writes them.

Belongs here: what runs beside the state. A batch is many statements over few rows each,
which DuckDB has no use for a second processor in; so there are a few makers, each with a
database in memory, a thread, a connection to the store, and some of the views. They are
given the rows that the batch gathered, and keep which values the store has.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from nearline.errors import NearlineError
from nearline.live.state import suit_few_rows
from nearline.live.views import LiveView
from nearline.online.encoding import encode_rows
from nearline.online.values import EntityRow, OnlineValues, microseconds
from nearline.publication.live_files import FACTS

TOUCHED = "touched"
"""Relation of `model, entity_id`: whose values are to be made."""

_MOST_REMEMBERED = 50_000
"""Entities of a view of which a maker knows what the store has: some 15 MB."""


@dataclass(frozen=True, slots=True)
class Made:
    """A view's values that are new, and `touched_id, due_us`: whose changes next when.

    `served` has, by entity, the moment and fingerprint of what is new.
    """

    view: LiveView
    changed: pa.Table
    served: Mapping[str, tuple[int, int]]
    timers: pa.Table


class ViewFailedError(Exception):
    """The view `view` has no values: its SQL failed, or what it gave cannot be stored.

    Why is its cause.
    """

    def __init__(self, view: str) -> None:
        super().__init__(view)
        self.view = view


class Makers:
    """Some makers side by side, among whom the views are shared out.

    Args:
        count: how many; more than there are processors gains nothing.
        stores: the store as often as it may be written at once; they stay open.
        memory_megabytes: what each maker may hold in memory.
        folder: where the rest of it goes.
    """

    def __init__(
        self,
        count: int,
        stores: Sequence[OnlineValues],
        memory_megabytes: int,
        folder: Path,
    ) -> None:
        self._opened = ExitStack()
        writers = [
            self._opened.enter_context(closing(_Writer(values, len(stores) < count)))
            for values in stores
        ]
        self._makers = [
            self._opened.enter_context(
                closing(
                    _Maker(
                        writers[number % len(writers)],
                        memory_megabytes,
                        folder / f"maker-{number}.tmp",
                    )
                )
            )
            for number in range(count)
        ]
        self._threads = self._opened.enter_context(ThreadPoolExecutor(count, "maker"))
        self._maker_of: dict[str, int] = {}

    def close(self) -> None:
        self._opened.close()

    def assign(self, views: Iterable[LiveView]) -> None:
        """Shares the views out anew, and forgets what the store has been given.

        Views that share SQL stay together. Long SQL takes longer, roughly: the longest goes
        first, to who has the shortest so far.
        """
        loads = [0] * len(self._makers)
        self._maker_of.clear()
        for together in sorted(_by_shared(views), key=lambda one: -_length(one)):
            number = loads.index(min(loads))
            loads[number] += _length(together)
            self._maker_of.update((view.name, number) for view in together)
        for maker in self._makers:
            maker.forget_all()

    def forget(self, view: LiveView, entities: Sequence[str]) -> None:
        """The store has no values of these any more."""
        self._makers[self._maker_of[view.name]].forget(view, entities)

    def make(
        self,
        views: Iterable[LiveView],
        relations: Mapping[str, pa.Table],
        now: datetime,
    ) -> list[Made]:
        """Makes and writes the views' values.

        Args:
            relations: what the SQL reads, by name; facts by the names in `facts_of`.

        Raises:
            ViewFailedError: of one view there is nothing to write; others may have been
                written.
            OnlineStoreUnavailableError: likewise, the store is away.
        """
        shares: dict[int, list[LiveView]] = {}
        for view in views:
            shares.setdefault(self._maker_of[view.name], []).append(view)
        running = [
            self._threads.submit(self._makers[number].run, share, relations, now)
            for number, share in shares.items()
        ]
        wait(running)
        return [made for one in running for made in one.result()]


def _by_shared(views: Iterable[LiveView]) -> list[list[LiveView]]:
    """Those that make the same once together, in the order of their names."""
    found: dict[tuple[str, ...], list[LiveView]] = {}
    for view in sorted(views, key=lambda v: v.name):
        found.setdefault(tuple(sorted(view.shared)) or (view.name,), []).append(view)
    return list(found.values())


def _length(views: Sequence[LiveView]) -> int:
    """Of all SQL that these run."""
    shared = {name: sql for view in views for name, sql in view.shared.items()}
    return sum(map(len, shared.values())) + sum(len(view.sql) for view in views)


class _Writer:
    """Writes to one store, one thing after the other, while its makers go on."""

    def __init__(self, values: OnlineValues, is_shared: bool) -> None:
        self._values = values
        self._is_shared = is_shared
        self._thread = ThreadPoolExecutor(1, "writer")

    def close(self) -> None:
        self._thread.shutdown()

    def parts(self, views: Sequence[LiveView]) -> list[Sequence[LiveView]]:
        """Which of one maker's views to write together.

        All, as a store may write an entity's at once; but each by itself where one writer
        writes for several makers, who is what they wait for.
        """
        return [[view] for view in views] if self._is_shared else [views]

    def write(self, made: Sequence[Made]) -> Future[None]:
        return self._thread.submit(self._write, made)

    def _write(self, made: Sequence[Made]) -> None:
        self._values.write_together((one.view.stored, _encoded(one)) for one in made)


def _encoded(made: Made) -> Iterator[EntityRow]:
    view = made.view
    try:
        for batch in made.changed.to_batches():
            yield from encode_rows(batch, view.encode_key, dict(view.kinds))
    except NearlineError as problem:
        raise ViewFailedError(view.name) from problem


class _Maker:
    """One database; one thread at a time.

    `_served` has, by view and entity, the newest moment and fingerprint that the store has
    been given; forgetting some costs a write that changes nothing. `_shared` are the names
    of what was made once of the facts at hand.
    """

    def __init__(self, writer: _Writer, memory_megabytes: int, overflow: Path) -> None:
        self._writer = writer
        self._shared: set[str] = set()
        self._served: defaultdict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        self._connection = duckdb.connect()
        suit_few_rows(self._connection, memory_megabytes)
        self._connection.execute("set temp_directory = ?", [str(overflow)])

    def close(self) -> None:
        self._connection.close()

    def forget_all(self) -> None:
        self._served.clear()

    def forget(self, view: LiveView, entities: Sequence[str]) -> None:
        for entity in entities:
            self._served[view.name].pop(entity, None)

    def run(
        self,
        views: Sequence[LiveView],
        relations: Mapping[str, pa.Table],
        now: datetime,
    ) -> list[Made]:
        """See `Makers.make`."""
        for name, rows in relations.items():
            with given(self._connection, rows):
                self._connection.execute(
                    f"create or replace table {name} as from given"
                )
        made: list[Made] = []
        writes: list[Future[None]] = []
        try:
            for facts in sorted({facts_of(view) for view in views}):
                # A union is planned twice wherever it is read.
                some = [name for name in facts if relations[name].num_rows] or facts[:1]
                self._connection.execute(
                    f"create or replace view {FACTS} as from {' union all from '.join(some)}"
                )
                self._shared.clear()
                of_facts = [view for view in views if facts_of(view) == facts]
                for part in self._writer.parts(of_facts):
                    together = [self._make(view, now) for view in part]
                    writes.append(self._writer.write(together))
                    made += together
        finally:
            wait(writes)
        for write in writes:
            write.result()
        self._note_served(made)
        return made

    def _make(self, view: LiveView, now: datetime) -> Made:
        """Runs the view's SQL over whom was touched, in one statement: over few entities
        each costs more than what it looks at."""
        name = view.model.name
        # A row of an arrival is known whatever the clock says.
        is_known = f"(event_us <= {microseconds(now)} or event_us = created_us)"
        try:
            self._make_shared(view)
            found = arrow_rows(
                self._connection,
                f"""
                with made as (select {view.columns} from ({view.sql})),
                grouped as (
                    select
                        entity_id as touched_id,
                        arg_max(made, (event_us, created_us))
                            filter (where {is_known}) as newest,
                        min(event_us) filter (where not {is_known}) as due_us,
                    from made
                    where entity_id in (
                        select entity_id from {TOUCHED} where model = '{name}'
                    )
                    group by entity_id
                ),
                newest as (select touched_id, due_us, unnest(newest) from grouped)
                select *, {view.fingerprint} as fingerprint from newest
                """,
            )
        except duckdb.Error as problem:
            raise ViewFailedError(view.name) from problem
        new = self._new(view, found, now)
        is_new = pc.is_in(
            found["entity_id"], pa.array(list(new), found["entity_id"].type)
        )
        timers = found.select(["touched_id", "due_us"])
        return Made(
            view=view,
            changed=found.filter(is_new),
            served=new,
            timers=timers.filter(pc.is_valid(pc.field("due_us"))),
        )

    def _make_shared(self, view: LiveView) -> None:
        for name in view.shared.keys() - self._shared:
            self._connection.execute(
                f"create or replace table {name} as {view.shared[name]}"
            )
            self._shared.add(name)

    def _new(
        self, view: LiveView, found: pa.Table, now: datetime
    ) -> dict[str, tuple[int, int]]:
        """Moment and fingerprint, by entity, of values that hold and the store lacks."""
        holds_since = view.stored.known_since(now) or 0
        served = self._served[view.name]
        names = ("entity_id", "event_us", "fingerprint")
        columns = (found[name].to_pylist() for name in names)
        return {
            entity: (event_us, fingerprint)
            for entity, event_us, fingerprint in zip(*columns, strict=True)
            if event_us is not None
            and event_us >= holds_since
            and served.get(entity) != (event_us, fingerprint)
        }

    def _note_served(self, made: Sequence[Made]) -> None:
        for one in made:
            served = self._served[one.view.name]
            if len(served) + len(one.served) > _MOST_REMEMBERED:
                served.clear()
            served.update(one.served)


def facts_of(view: LiveView) -> tuple[str, ...]:
    """Names of the relations with the facts that the view's values are made of."""
    if view.is_of_persons:
        return ("facts_of_visitors", "facts_of_others")
    return ("facts_of_visitors",) if view.is_of_visitors else ("facts_of_items",)


@contextmanager
def given(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> Iterator[None]:
    """The rows as the relation `given`, until the block ends."""
    connection.register("given", rows)
    yield
    connection.unregister("given")


@contextmanager
def planned_once() -> Iterator[None]:
    """For who calls `arrow_rows`, in this thread and others until the block ends.

    DuckDB warns of a second copy of the rows and recommends its relations, which plan
    each statement twice: of few rows that is a quarter of all that they cost.
    """
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        yield


def arrow_rows(connection: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """The rows of a query; within `planned_once`."""
    rows = connection.execute(query).to_arrow_table()
    assert rows is not None
    return rows

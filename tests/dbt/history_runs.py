"""Thousands of histories through one warehouse, and one that failed made small.

dbt costs seconds a run, whatever it reads: so all histories take the same few runs under
ids of their own, and what differs is traced back to a history by its ids. The shrinker
works the same way. One candidate at a time, as Hypothesis' own would, it would need
hundreds of builds; here all candidates of a round share the builds.
"""

import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nearline.events.contract import Event
from tests.dbt.histories import RUNS, Arrival, History, placed, prefix
from tests.dbt.nasty_visitors import DAY, event, moment
from tests.dbt.reference_sessions import parse
from tests.dbt.warehouse import PROVENANCE, Warehouse, differing_rows

Row = dict[str, Any]
Fails = Callable[[Sequence[History]], Collection[int]]

MOST_ROUNDS = 8
FEW = 12
"""Arrivals from which on a round simplifies each of them by itself."""

SHOWN = 2
"""Rows of a difference that are printed, of each side."""

_SET_BY_OTHERS = dict.fromkeys(("popularity_rank", "recency_days"))
"""Columns in which a row tells of all histories: of better sellers, of the last day."""

_PREFIX = re.compile(r"\bh(\d{6})_")


@dataclass(frozen=True)
class Built:
    """Histories and the warehouse that took them in runs; `selection` as dbt has it."""

    histories: Sequence[History]
    warehouse: Warehouse
    selection: tuple[str, ...]

    @property
    def lines(self) -> list[Row]:
        return [
            arrival.row
            for number, history in enumerate(self.histories)
            for arrival in placed(history, number)
        ]


@dataclass(frozen=True)
class Difference:
    """Rows of one table that the runs or the yardstick have alone."""

    table: str
    in_runs: list[Row] = field(default_factory=list)
    wanted: list[Row] = field(default_factory=list)

    @property
    def is_by_others(self) -> bool:
        """Whether all that differs is what other histories set."""
        in_runs, wanted = (
            sorted(str({**row, **_SET_BY_OTHERS}) for row in rows)
            for rows in (self.in_runs, self.wanted)
        )
        return in_runs == wanted

    def __str__(self) -> str:
        lines = [self.table]
        for side, rows in (("in runs", self.in_runs), ("wanted", self.wanted)):
            for row in rows[:SHOWN]:
                known = {name: str(v) for name, v in row.items() if v is not None}
                lines.append(f"    only {side}: {known}")
            if len(rows) > SHOWN:
                lines.append(f"    only {side}: {len(rows) - SHOWN} rows more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Findings:
    """What differs, by history; and what tells of no history, such as a daily count."""

    by_history: dict[int, list[Difference]]
    of_all: list[Difference]


@dataclass(frozen=True)
class Yardstick:
    """Another way to build the same histories, which must make the same tables."""

    name: str
    build: Callable[[Built], Warehouse]
    ignored: frozenset[str] = frozenset()


def build(histories: Sequence[History], warehouse: Warehouse, *selection: str) -> Built:
    """Lands and builds run after run."""
    pieces: list[list[Row]] = [[] for _ in range(RUNS)]
    for number, history in enumerate(histories):
        for arrival in placed(history, number):
            pieces[arrival.run].append(arrival.row)
    for run, piece in enumerate(pieces):
        if piece:
            warehouse.land(piece, f"run_{run}")
            warehouse.dbt("run", *selection)
    return Built(histories, warehouse, selection)


def _rebuild(built: Built) -> Warehouse:
    home = built.warehouse.home
    rebuilt = built.warehouse.copy_to(home.with_name(f"{home.name}_rebuilt"))
    rebuilt.dbt("run", "--full-refresh", *built.selection)
    return rebuilt


def _build_from_one_file(built: Built) -> Warehouse:
    home = built.warehouse.home
    fresh = replace(built.warehouse, home=home.with_name(f"{home.name}_in_one_file"))
    fresh.land(sorted(built.lines, key=lambda line: line["occurred_at"]), "all")
    fresh.dbt("run", *built.selection)
    return fresh


REBUILD = Yardstick("a rebuild", _rebuild)
ONE_FILE = Yardstick("one file in order", _build_from_one_file, PROVENANCE)


def compare(built: Built, other: Warehouse, ignored: frozenset[str]) -> Findings:
    """Every table against that of another warehouse, row for row."""
    owners = _owners(built.warehouse, other)
    by_history: dict[int, list[Difference]] = defaultdict(list)
    of_all = []
    for table, sides in differing_rows(built.warehouse, other, ignored).items():
        ours: dict[int | None, Difference] = {None: Difference(table)}
        for side, rows in sides.items():
            for row in rows:
                found = ours.setdefault(_history_of(row, owners), Difference(table))
                (found.in_runs if side == "one" else found.wanted).append(row)
        rest = ours.pop(None)
        for number, found in ours.items():
            if found.is_by_others:
                rest.in_runs.extend(found.in_runs)
                rest.wanted.extend(found.wanted)
            else:
                by_history[number].append(found)
        if rest.in_runs or rest.wanted:
            of_all.append(rest)
    return Findings(dict(by_history), of_all)


def _owners(*warehouses: Warehouse) -> dict[str, int]:
    """Which history a person is of: its key is a hash and tells nothing itself."""
    query = "select distinct person_id, visitor_id from fct_events"
    owners = {}
    for warehouse in warehouses:
        for row in warehouse.rows(query):
            found = _PREFIX.search(row["visitor_id"])
            assert found is not None
            owners[row["person_id"]] = int(found[1])
    return owners


def _history_of(row: Row, owners: dict[str, int]) -> int | None:
    """The history that a row is of, by the ids that it holds; None where it has none."""
    for value in row.values():
        if isinstance(value, str):
            if found := _PREFIX.search(value):
                return int(found[1])
            if value in owners:
                return owners[value]
    return None


def explain(findings: Findings, built: Built, yardstick: Yardstick, homes: Path) -> str:
    """What differs; the smallest failing history is made smaller still and printed."""
    lines = [
        f"{len(findings.by_history)} of {len(built.histories)} histories differ between "
        f"{RUNS} increments and {yardstick.name}."
    ]
    lines += [f"Of no one history: {found}" for found in findings.of_all]
    if findings.by_history:
        small = _smallest(findings, built, yardstick, homes)
        lines += ["One of them, made small:", small]
    return "\n".join(lines)


def _smallest(
    findings: Findings, built: Built, yardstick: Yardstick, homes: Path
) -> str:
    """The smallest history found that differs by itself, and how it differs."""
    failing = sorted(findings.by_history, key=lambda n: len(built.histories[n]))
    shortest = [built.histories[number] for number in failing[:FEW]]
    tables = {found.table for n in failing[:FEW] for found in findings.by_history[n]}
    # Persons are told by the events, see _owners.
    tables.add("fct_events")
    selection = ("--select", *(f"+{table}" for table in sorted(tables)))
    found: dict[int, list[Difference]] = {}

    def fails(candidates: Sequence[History]) -> Collection[int]:
        nonlocal found
        home = Path(tempfile.mkdtemp(dir=homes)) / "home"
        small = build(candidates, replace(built.warehouse, home=home), *selection)
        other = yardstick.build(small)
        found = compare(small, other, yardstick.ignored).by_history
        return found.keys()

    alone = fails(shortest)
    if not alone:
        return f"None of the shortest differs by itself. The first:\n{as_code(shortest[0])}"
    smallest = shrink(shortest[min(alone)], fails)
    fails([smallest])
    told = [str(difference).replace(prefix(0), "") for difference in found.get(0, [])]
    return "\n".join([as_code(smallest), *told])


def shrink(history: History, fails: Fails) -> History:
    """The smallest history found that still fails.

    A round tries every simplification by itself, all at once, then the first so many of
    those that failed together: most often nearly all of them hold.

    Args:
        fails: which of several histories fail, by their place in the list.
    """
    for _ in range(MOST_ROUNDS):
        changes = _changes(history)
        alone = [_changed(history, [change]) for change in changes]
        held = sorted(fails(alone)) if alone else []
        if not held:
            break
        together = [
            _changed(history, [changes[place] for place in held[:count]])
            for count in range(2, len(held) + 1)
        ]
        together = [one for one in together if one and is_valid(one)]
        found = [alone[place] for place in held]
        if together:
            found += [together[place] for place in fails(together)]
        history = min(found, key=_size)
    return history


def _size(history: History) -> tuple[int, int]:
    return len(history), len(as_code(history)) + sum(a.run for a in history)


@dataclass(frozen=True)
class _Change:
    """Makes arrivals simpler, those at some places of the history; None drops one."""

    places: Collection[int]
    simpler: Callable[[Arrival], Arrival | None]


def _changed(history: History, changes: Iterable[_Change]) -> History:
    arrivals: list[Arrival | None] = list(history)
    for change in changes:
        for place in change.places:
            arrival = arrivals[place]
            arrivals[place] = arrival and change.simpler(arrival)
    kept = [arrival for arrival in arrivals if arrival]
    return tuple(sorted(kept, key=lambda arrival: arrival.run))


def _changes(history: History) -> list[_Change]:
    """Changes of which each leaves a valid, smaller history; the largest come first."""
    places = range(len(history))
    changes = []
    length = len(history) // 2
    while length:
        changes += [
            _Change(places[first : first + length], lambda arrival: None)
            for first in range(0, len(history), length)
        ]
        length //= 2
    simplest = [_plain, _with_plain_source, _received_at_once, _one_run_earlier]
    names = sorted({name for arrival in history for name in arrival.row})
    simplest += [_without(name) for name in names]
    changes += [_Change(places, simpler) for simpler in simplest]
    for run in range(1, RUNS):
        late = [place for place in places if history[place].run >= run]
        changes.append(_Change(late, _one_run_earlier))
    if len(history) <= FEW:
        changes += [_Change([at], simpler) for at in places for simpler in simplest]
    size = _size(history)
    return [
        change
        for change in changes
        if (simpler := _changed(history, [change]))
        and _size(simpler) < size
        and is_valid(simpler)
    ]


def _plain(arrival: Arrival) -> Arrival:
    row = arrival.row
    plain = event(row["event_id"], row["visitor_id"], parse(row["occurred_at"]))
    return replace(arrival, row=plain)


def _with_plain_source(arrival: Arrival) -> Arrival:
    return replace(arrival, row={**arrival.row, "source": "shop_web"})


def _received_at_once(arrival: Arrival) -> Arrival:
    received_at = moment(parse(arrival.row["occurred_at"]) + timedelta(seconds=1))
    return replace(arrival, row={**arrival.row, "received_at": received_at})


def _one_run_earlier(arrival: Arrival) -> Arrival:
    return replace(arrival, run=max(0, arrival.run - 1))


def _without(name: str) -> Callable[[Arrival], Arrival]:
    """An optional field as every event has it that says nothing of it."""
    usual = event("", "", DAY).get(name)

    def simpler(arrival: Arrival) -> Arrival:
        row = {field: value for field, value in arrival.row.items() if field != name}
        return replace(arrival, row=row if usual is None else {**row, name: usual})

    return simpler


def is_valid(history: History) -> bool:
    """Whether every row keeps the event contract, so that it lands."""
    try:
        for arrival in history:
            Event.model_validate(arrival.row)
    except ValidationError:
        return False
    return True


def as_code(history: History) -> str:
    """The arrivals as calls of `nasty_visitors.event`, run after run."""
    lines = []
    for run in sorted({arrival.run for arrival in history}):
        lines.append(f"# run {run + 1}")
        lines += [f"{_call(a.row)}," for a in history if a.run == run]
    return "\n".join(lines)


def _call(row: Row) -> str:
    occurred_at = parse(row["occurred_at"])
    delay = parse(row["received_at"]) - occurred_at
    days = (occurred_at.date() - DAY.date()).days
    clock = _literal(occurred_at.time().isoformat())
    arguments = [
        _literal(row["event_id"]),
        _literal(row["visitor_id"]),
        f"at({clock}, {days})" if days else f"at({clock})",
        _literal(row["event_name"]),
    ]
    if delay != timedelta(seconds=1):
        milliseconds = delay // timedelta(milliseconds=1)
        arguments.append(f"delay=timedelta(milliseconds={milliseconds})")
    usual = event(row["event_id"], row["visitor_id"], occurred_at, delay=delay)
    for name in {**usual, **row}:
        if name != "event_name" and row.get(name) != usual.get(name):
            arguments.append(f"{name}={_literal(row.get(name))}")
    return f"event({', '.join(arguments)})"


def _literal(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) else repr(value)

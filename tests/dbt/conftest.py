"""Warehouses that the tests share: each build costs seconds, so few are made."""

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.simulate import Plan, simulate
from tests.dbt.nasty_visitors import CORRECTIONS, FIRST_ARRIVALS, moment
from tests.dbt.reference_sessions import SOURCES_WITHOUT_SESSIONS, parse
from tests.dbt.warehouse import BUILD, Warehouse

Row = dict[str, Any]

PIECES = 4
PLAN = Plan(visitors=150, days=6, seed=5, start=date(2026, 9, 1), effect=0.5)


@dataclass(frozen=True)
class LateHistory:
    """A warehouse before and after late events landed."""

    before: Warehouse
    after: Warehouse
    late: Sequence[Row]


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dbt's folder for what it parsed; one for all, since builds run one by one."""
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="session")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[list[Row]]:
    """A shop's lines shuffled into pieces, some of them sent again in another piece."""
    folder = tmp_path_factory.mktemp("shop")
    simulate(PLAN, folder / "shop")
    lines = [
        json.loads(line)
        for path in sorted((folder / "shop" / "events").iterdir())
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    rng = random.Random(1)
    pieces: list[list[Row]] = [[] for _ in range(PIECES)]
    corrected = {line["event_id"] for line in CORRECTIONS}
    for line in lines + FIRST_ARRIVALS:
        if line["event_id"] in corrected:
            # First what will turn out wrong, then what corrects it.
            pieces[0].append(line)
            continue
        rng.choice(pieces).append(line)
        if rng.random() < 0.06:
            rng.choice(pieces).append(line)
        if rng.random() < 0.04:
            again = parse(line["received_at"]) + timedelta(hours=2)
            rng.choice(pieces).append(line | {"received_at": moment(again)})
    for line in CORRECTIONS:
        rng.choice(pieces[1:]).append(line)
    for piece in pieces:
        rng.shuffle(piece)
    return pieces


@pytest.fixture(scope="session")
def lines(pieces: list[list[Row]]) -> list[Row]:
    return [line for piece in pieces for line in piece]


@pytest.fixture(scope="session")
def in_pieces(homes: Path, target: Path, pieces: list[list[Row]]) -> Warehouse:
    """Built piece by piece, the last time with every data test of the project."""
    warehouse = Warehouse(homes / "in_pieces", target)
    for number, piece in enumerate(pieces, start=1):
        warehouse.land(piece, f"piece_{number}")
        warehouse.dbt(*(BUILD if number == PIECES else ("run",)))
    return warehouse


@pytest.fixture(scope="session")
def late_history(homes: Path, in_pieces: Warehouse, lines: list[Row]) -> LateHistory:
    """The shop in pieces, and a copy of it into which late events landed."""
    late = late_events(last_arrival(lines))
    after = in_pieces.copy_to(homes / "late")
    after.land(late, "late")
    after.dbt("run")
    return LateHistory(in_pieces, after, late)


def last_arrival(lines: Iterable[Row]) -> datetime:
    """When the last visit's event arrived."""
    return max(
        parse(line["received_at"])
        for line in lines
        if line["source"] not in SOURCES_WITHOUT_SESSIONS
    )


def late_events(known_up_to: datetime) -> list[Row]:
    """Events of days ago: a join of two sessions, a new start, a login, a ping, a view."""
    from tests.dbt.nasty_visitors import at, event, pinging

    def late_ping(event_id: str, visitor_id: str, clock: str, *page: str) -> Row:
        delay = known_up_to - at(clock) + timedelta(minutes=1)
        return pinging(event_id, visitor_id, at(clock), *page, delay=delay)

    def late(
        event_id: str, visitor_id: str, clock: str, *name: str, **fields: Any
    ) -> Row:
        occurred_at = at(clock)
        delay = known_up_to - occurred_at + timedelta(minutes=1)
        return event(event_id, visitor_id, occurred_at, *name, delay=delay, **fields)

    return [
        late("late_join", "v_gap_exact", "10:45"),
        late("late_start", "v_moved_start", "11:30", "view_item", item_id="sku_9"),
        # In a bucket before those that were pinged; and of a page known by its pings.
        late_ping("late_ping", "v_pinged", "10:00:05", "sp_pinged", "p1"),
        late_ping("late_view", "v_only_pinged", "00:00", "sp_only", "p3", "page_view"),
        late("late_login", "v_reader", "20:00", "identify", user_id="u_reader"),
    ]


def echoes(lines: Sequence[Row], seed: int, count: int) -> list[Row]:
    """New events near old ones, received after all of them: they touch many sessions."""
    rng = random.Random(seed)
    known_up_to = last_arrival(lines)
    # Not near what somebody mistyped into the far future.
    old = [line for line in lines if parse(line["occurred_at"]) <= known_up_to]
    found = []
    for number, line in enumerate(rng.sample(old, count)):
        occurred_at = parse(line["occurred_at"]) + timedelta(
            milliseconds=rng.randint(-2_400_000, 2_400_000)
        )
        received_at = known_up_to + timedelta(days=seed, seconds=number)
        found.append(
            line
            | {
                "event_id": f"echo_{seed}_{number}",
                "occurred_at": moment(occurred_at),
                "received_at": moment(received_at),
            }
        )
    return found

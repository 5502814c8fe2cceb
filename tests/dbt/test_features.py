"""Feature rows against brute force over the events, at the rows and between them."""

import bisect
import random
from collections import defaultdict
from datetime import datetime, timedelta

import pytest

from nearline.feature_views import find_feature_views
from tests.dbt.conftest import LateHistory, Row
from tests.dbt.reference_features import (
    FIVE_MINUTES,
    ONE_DAY,
    Window,
    activity_at,
    contributes,
    latest_at,
    usable,
)
from tests.dbt.warehouse import DBT_PROJECT, Warehouse

_KEYS = ("event_timestamp", "created_timestamp", "visitor_id")

# What a later event may set aside, the end of a session that became too long, stays.
_EVENTS = """
    select events.*, session_id, is_page_view, engaged_milliseconds,
        events.bot_reason is not null as is_declared_bot
    from int_events__deduplicated as events
    inner join int_events__sessionized using (event_id)
    where coalesce(set_aside_reason, 'session_too_long') = 'session_too_long'
"""


def events_by_visitor(warehouse: Warehouse) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for event in usable(warehouse.rows(_EVENTS)):
        found[event["visitor_id"]].append(event)
    return found


def rows_by_visitor(warehouse: Warehouse, table: str) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in warehouse.rows(f"select * from {table} order by event_timestamp"):
        found[row["visitor_id"]].append(row)
    return found


def values(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in _KEYS}


@pytest.fixture(scope="module")
def events(in_pieces: Warehouse) -> dict[str, list[Row]]:
    return events_by_visitor(in_pieces)


@pytest.fixture(scope="module")
def received_up_to(events: dict[str, list[Row]]) -> datetime:
    return max(event["received_at"] for found in events.values() for event in found)


@pytest.mark.parametrize("window", [FIVE_MINUTES, ONE_DAY], ids=lambda w: w.suffix)
def test_window_holds_the_brute_force_value_at_every_row_and_between(
    in_pieces: Warehouse,
    events: dict[str, list[Row]],
    received_up_to: datetime,
    window: Window,
) -> None:
    rows = rows_by_visitor(in_pieces, f"ftr_visitor__activity_{window.suffix}")
    rng = random.Random(2)
    nothing = activity_at([], received_up_to, window)

    assert sum(map(len, rows.values())) > 2000
    for visitor_id, visited in events.items():
        moments = [row["event_timestamp"] for row in rows[visitor_id]]
        assert moments == sorted(set(moments))
        for row in rows[visitor_id]:
            t = row["event_timestamp"]
            assert values(row) == activity_at(visited, t, window), (visitor_id, t)
            assert row["created_timestamp"] == max(
                event["received_at"]
                for event in visited
                if event["received_at"] <= t and contributes(event, window)
            )
        first = min(event["occurred_at"] for event in visited)
        for _ in range(20):
            t = first + rng.random() * (received_up_to - first)
            row_number = bisect.bisect_right(moments, t) - 1
            value = values(rows[visitor_id][row_number]) if row_number >= 0 else nothing
            assert value == activity_at(visited, t, window), (visitor_id, t)


def test_latest_holds_the_brute_force_value_at_every_row_and_between(
    in_pieces: Warehouse, events: dict[str, list[Row]], received_up_to: datetime
) -> None:
    rows = rows_by_visitor(in_pieces, "ftr_visitor__latest")
    rng = random.Random(3)

    assert sum(map(len, rows.values())) > 1000
    for visitor_id, visited in events.items():
        moments = [row["event_timestamp"] for row in rows[visitor_id]]
        assert moments == sorted(set(moments))
        for row in rows[visitor_id]:
            t = row["event_timestamp"]
            assert values(row) == latest_at(visited, t), (visitor_id, t)
        first = min(event["received_at"] for event in visited) - timedelta(hours=1)
        for _ in range(10):
            t = first + rng.random() * (received_up_to - first)
            row_number = bisect.bisect_right(moments, t) - 1
            value = values(rows[visitor_id][row_number]) if row_number >= 0 else None
            known = latest_at(visited, t)
            assert (value or dict.fromkeys(known)) == known, (visitor_id, t)


def test_late_events_rewrite_no_earlier_feature_row(late_history: LateHistory) -> None:
    before, after = late_history.before, late_history.after
    # What runs alone tell goes on from what was published, and here nothing was.
    kept = {v.model for v in find_feature_views(DBT_PROJECT) if v.is_kept_live}
    tables = [table for table in before.tables() if table in kept]

    assert len(tables) == 24
    for table in tables:
        earlier = set(map(_frozen, before.rows(f"select * from {table}")))
        assert earlier <= set(map(_frozen, after.rows(f"select * from {table}"))), table
    query = "select * from ftr_visitor__activity_7d where visitor_id = 'v_moved_start'"
    assert len(after.rows(query)) > len(before.rows(query))
    query = """
        select max_by(engaged_seconds_7d, event_timestamp) as engaged_seconds
        from ftr_visitor__activity_7d
        where visitor_id = 'v_pinged'
    """
    [earlier], [later] = before.rows(query), after.rows(query)
    assert later["engaged_seconds"] == earlier["engaged_seconds"] + 10


def _frozen(row: Row) -> tuple[object, ...]:
    return tuple(
        tuple(value) if isinstance(value, list) else value for value in row.values()
    )

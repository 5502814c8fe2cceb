"""Lateness as it is published, against plain Python over the events themselves."""

import pytest

from tests.dbt.conftest import LateHistory, Row
from tests.dbt.reference_lateness import SourceDay, arrivals, daily
from tests.dbt.reference_sessions import deduplicate, parse
from tests.dbt.warehouse import Warehouse

COUNTS = (
    "event_count",
    "late_event_count",
    "session_count",
    "measured_session_count",
    "reopened_session_count",
    "reopening_count",
    "split_session_count",
    "set_aside_event_count",
)


@pytest.fixture(scope="module")
def published(in_pieces: Warehouse) -> dict[SourceDay, Row]:
    return by_day(in_pieces)


@pytest.fixture(scope="module")
def events(lines: list[Row]) -> list[Row]:
    return deduplicate(lines)


def by_day(warehouse: Warehouse) -> dict[SourceDay, Row]:
    rows = warehouse.rows("select * from ops_lateness_daily")
    return {(row["source"], row["occurred_date"]): row for row in rows}


def test_arrivals_are_counted_by_delay(in_pieces: Warehouse, events: list[Row]) -> None:
    found = {
        (
            row["source"],
            row["received_date"],
            row["delay_bucket"],
            row["is_late"],
        ): row["event_count"]
        for row in in_pieces.rows("select * from ops_lateness")
    }
    assert found == arrivals(events)


@pytest.mark.parametrize("count", COUNTS)
def test_a_days_lateness_is_that_of_its_events_one_by_one(
    published: dict[SourceDay, Row], events: list[Row], count: str
) -> None:
    expected = {day: counts[count] for day, counts in daily(events).items()}
    assert {day: row[count] for day, row in published.items()} == expected
    assert sum(expected.values()) > 0


def test_late_rate_is_the_share_of_the_days_events(
    published: dict[SourceDay, Row],
) -> None:
    for row in published.values():
        if row["event_count"]:
            share = row["late_event_count"] / row["event_count"]
            assert row["late_event_rate"] == share


def test_sessions_under_their_sources_own_ids_are_neither_reopened_nor_split(
    in_pieces: Warehouse,
) -> None:
    """`vendor_a` has hours between its arrivals, and is not over for that."""
    rows = in_pieces.rows(
        """
        select lateness.*
        from int_sessions__lateness as lateness
        inner join fct_sessions using (session_id)
        where fct_sessions.source_session_id like 'vendor%'
        """
    )
    assert len(rows) == 2
    for row in rows:
        assert not row["is_measured"]
        assert row["reopening_count"] is row["is_split_by_lateness"] is None


def test_events_of_days_ago_reopen_the_sessions_of_their_day(
    late_history: LateHistory, events: list[Row]
) -> None:
    """`late_join` also splits: without it, its session would have been two."""
    after = by_day(late_history.after)
    expected = daily(deduplicate([*events, *late_history.late]))
    for count in COUNTS:
        assert {day: row[count] for day, row in after.items()} == {
            day: counts[count] for day, counts in expected.items()
        }
    before = by_day(late_history.before)
    touched = {
        (event["source"], parse(event["occurred_at"]).date())
        for event in late_history.late
    }
    (day,) = {key for key in touched if key[0] == "shop_web"}
    for count in ("reopening_count", "split_session_count", "late_event_count"):
        assert after[day][count] > before[day][count]

    def untouched(days: dict[SourceDay, Row]) -> dict[SourceDay, Row]:
        # A late page view ends a session that began with a ping the day before.
        return {key: days[key] for key in set(days) - touched if key[0] != "snowplow"}

    assert untouched(before) == untouched(after)

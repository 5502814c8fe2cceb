"""Refused events come in late and mended: they re-open their own sessions and no other."""

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nearline.deadletters.letters import find_letters
from nearline.deadletters.patching import Changes, parse_fix
from nearline.deadletters.replay import replay
from nearline.landing.from_log import land_log
from nearline.landing.landings import land_file
from nearline.log import NewRecord, open_log
from tests.dbt.nasty_visitors import at, event, purchase
from tests.dbt.warehouse import BUILD, Warehouse

Row = dict[str, Any]

REPLAYED_AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
SESSION_TABLES = ("fct_sessions", "fct_events", "fct_page_views")


@dataclass(frozen=True)
class History:
    """Rows of the session tables, change numbers included, before and after a replay."""

    warehouse: Warehouse
    before: dict[str, list[Row]]
    after: dict[str, list[Row]]

    def changed(self, table: str) -> list[Row]:
        return [row for row in self.after[table] if row not in self.before[table]]

    def gone(self, table: str) -> list[Row]:
        return [row for row in self.before[table] if row not in self.after[table]]


@pytest.fixture(scope="module")
def history(homes: Path, in_pieces: Warehouse) -> History:
    """One event that the collector refused, one that a file held, both mended later."""
    warehouse = in_pieces.copy_to(homes / "dead_letters")
    by_collector = purchase("letter_order", "v_gap_exact", at("11:05"), 4_900)
    del by_collector["received_at"]
    letter = {
        "deadletter_id": "d_order",
        "received_at": "2026-09-02T11:05:01.000Z",
        "source": "shop_web",
        "input": "event",
        "schema_version": "1.0",
        "event_name": "purchase",
        "field": "currency",
        "reason": "is missing; revenue_cents needs it",
        "fields": {**by_collector, "currency": "***"},
    }
    with closing(open_log(warehouse.settings, "deadletters")) as log:
        log.append([NewRecord("d_order", json.dumps(letter).encode())])
    land_log(warehouse.settings)
    in_file = event("letter_page", "v_same_moment", at("09:10"), scroll_rate=7)
    fit = event("letter_fit", "v_of_the_file", at("09:10"))
    path = homes / "refused.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in (fit, in_file)))
    land_file(warehouse.settings, path, "nearline")
    warehouse.dbt("run")
    before = _session_rows(warehouse)

    changes = Changes(fixes=(parse_fix("currency=EUR"), parse_fix("scroll_rate=0.7")))
    outcomes = replay(
        warehouse.settings,
        find_letters(warehouse.settings),
        changes,
        clock=lambda: REPLAYED_AT,
    )
    assert {outcome.status for outcome in outcomes} == {"replayed"}
    warehouse.dbt(*BUILD)
    return History(warehouse, before, _session_rows(warehouse))


def _session_rows(warehouse: Warehouse) -> dict[str, list[Row]]:
    return {table: warehouse.rows(f"from {table}") for table in SESSION_TABLES}


def test_a_replayed_event_reopens_the_session_it_falls_into_and_no_other(
    history: History,
) -> None:
    reopened = {row["visitor_id"]: row for row in history.changed("fct_sessions")}
    assert set(reopened) == {"v_gap_exact", "v_same_moment"}
    assert len(history.changed("fct_sessions")) == 2

    order = reopened["v_gap_exact"]
    assert (order["started_at"], order["ended_at"]) == (
        at("11:00:00.001"),
        at("11:05"),
    )
    assert (order["event_count"], order["revenue_cents"]) == (2, 4_900)
    page = reopened["v_same_moment"]
    assert (page["started_at"], page["ended_at"]) == (at("09:00"), at("09:10"))
    assert page["event_count"] == 5

    for table in SESSION_TABLES:
        # Everything else is the very same row, the number of its last change included.
        assert {row["session_id"] for row in history.changed(table)} <= {
            row["session_id"] for row in reopened.values()
        }
        assert {row["session_id"] for row in history.gone(table)} <= {
            row["session_id"] for row in reopened.values()
        }
        assert len(history.before[table]) > 30


def test_what_came_by_the_collector_is_known_from_the_replay_on(
    history: History,
) -> None:
    received = {
        row["event_id"]: row["received_at"] for row in history.after["fct_events"]
    }
    assert received["letter_order"] == REPLAYED_AT.replace(tzinfo=None)
    # What a file holds is known from when the file says.
    assert received["letter_page"] == datetime(2026, 9, 2, 9, 10, 1)


def test_quarantine_says_that_the_letters_were_replayed(history: History) -> None:
    rows = history.warehouse.rows(
        "select deadletter_id, source, schema_version, field, replayed_at "
        "from ops_quarantine where quarantined_stage = 'door' order by field"
    )
    replayed_at = REPLAYED_AT.replace(tzinfo=None)
    assert [
        (row["source"], row["schema_version"], row["field"], row["replayed_at"])
        for row in rows
    ] == [
        ("shop_web", "1.0", "currency", replayed_at),
        ("shop_web", "1.0", "scroll_rate", replayed_at),
    ]
    assert rows[0]["deadletter_id"] == "d_order"


def test_a_replay_that_forgot_itself_changes_no_table(
    homes: Path, history: History
) -> None:
    """A crash between the event and the note: the same event is sent a second time."""
    again = history.warehouse.copy_to(homes / "dead_letters_again")
    (again.home / "deadletters" / "replays.parquet").unlink()
    changes = Changes(fixes=(parse_fix("currency=EUR"), parse_fix("scroll_rate=0.7")))
    outcomes = replay(again.settings, find_letters(again.settings), changes)
    assert {outcome.status for outcome in outcomes} == {"replayed"}

    again.dbt("run")

    assert _session_rows(again) == history.after

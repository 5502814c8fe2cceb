"""Sessions against a second opinion in plain Python, and what a late event rewrites."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from tests.dbt.conftest import LateHistory, Row
from tests.dbt.reference_sessions import (
    Session,
    deduplicate,
    engaged_milliseconds,
    page_views,
    sessionize,
)
from tests.dbt.warehouse import PROVENANCE, Warehouse, differing_rows

OF_SNAPSHOTS = {
    "bridge_identities",
    "dim_consents",
    "dim_items",
    "dim_persons",
    "fct_events",
    "fct_order_items",
    "fct_orders",
    "fct_segments",
    "ftr_person__segments",
    "int_events__deduplicated",
    "int_events__sessionized",
    "ops_collection_audit",
}
"""Tables to which a source without sessions adds something; it leaves all others alone."""

SESSIONS = """
    select
        list_sort(list(events.event_id)) as event_ids,
        any_value(columns(sessions.* exclude (session_id)))
    from fct_sessions as sessions
    inner join fct_events as events using (session_id)
    group by session_id
"""


def by_events(sessions: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    found = {}
    for session in sessions:
        engaged = round(session["engaged_seconds"] * 1000)
        row = session | {"engaged_milliseconds": engaged}
        found[tuple(session["event_ids"])] = {
            name: row[name]
            for name in Session.__dataclass_fields__
            if name != "event_ids"
        }
    return found


def expected(sessions: Iterable[Session]) -> dict[tuple[str, ...], Row]:
    found = {}
    for session in sessions:
        row = asdict(session)
        found[tuple(sorted(row.pop("event_ids")))] = row
    return found


def test_sessions_equal_those_of_the_reference(
    in_pieces: Warehouse, lines: list[Row]
) -> None:
    built = by_events(in_pieces.rows(SESSIONS))

    assert len(built) > 150
    assert built == expected(sessionize(deduplicate(lines)))


def test_every_event_has_the_dwell_and_the_page_view_of_the_reference(
    late_history: LateHistory, lines: list[Row]
) -> None:
    query = """
        select event_id, engaged_milliseconds, is_page_view
        from fct_events
        where session_id is not null
    """
    built = {row.pop("event_id"): row for row in late_history.after.rows(query)}

    events = {e["event_id"]: e for e in deduplicate([*lines, *late_history.late])}
    expected = {}
    for session in sessionize(events.values()):
        kept = [events[event_id] for event_id in session.event_ids]
        engaged, viewed = engaged_milliseconds(kept), page_views(kept)
        for event_id in session.event_ids:
            expected[event_id] = {
                "engaged_milliseconds": engaged.get(event_id),
                "is_page_view": event_id in viewed,
            }
    assert built == expected


def test_page_views_hold_the_dwell_of_their_pings(in_pieces: Warehouse) -> None:
    rows = in_pieces.rows(
        """
        select source_page_view_id, page_view_id, engaged_seconds, source
        from fct_page_views
        where session_id in (
            select session_id
            from fct_sessions
            where source_session_id in ('sp_pinged', 'sp_pinged_on')
        )
        order by viewed_at
        """
    )
    assert [tuple(row.values()) for row in rows] == [
        ("p1", "ping_1", 15.0, "snowplow"),
        ("p2", "ping_6", 15.0, "snowplow"),
        (None, "ping_10", 0.0, "snowplow"),
        ("p2", "ping_11", 15.0, "snowplow"),
    ]


def test_event_sent_too_late_is_in_no_fact_and_in_quarantine_with_its_field(
    in_pieces: Warehouse,
) -> None:
    query = """
        select field, reason, source, count(*) as n
        from ops_quarantine
        where quarantined_stage = 'staging' and reason like '%sent_at'
        group by all
    """
    assert in_pieces.rows(query) == [
        {
            "field": "occurred_at",
            "reason": "occurred_at is more than 3 days before sent_at",
            "source": "snowplow",
            "n": 2,
        }
    ]
    query = "select event_id from fct_events where event_id like 'sent_%' order by 1"
    kept = [row["event_id"] for row in in_pieces.rows(query)]
    assert kept == ["sent_1", "sent_4"]
    query = "select 1 from fct_sessions where source_session_id = 'sp_gone'"
    assert in_pieces.rows(query) == []


def test_source_without_sessions_changes_no_table_of_visits(
    homes: Path, in_pieces: Warehouse, lines: list[Row]
) -> None:
    stated = {line["event_id"] for line in lines if line["source"] == "crm"}
    visits = replace(in_pieces, home=homes / "visits_alone")
    visits.land(
        [line for line in lines if line["event_id"] not in stated]
        + [
            line
            for line in deduplicate(lines)
            if line["event_id"] in stated and line["source"] != "crm"
        ],
        "all",
    )
    visits.dbt("run")

    changed = {
        table
        for table, sides in differing_rows(in_pieces, visits, PROVENANCE).items()
        if any(sides.values())
    }

    rows = in_pieces.rows("select event_id from fct_events where session_id is null")
    assert {row["event_id"] for row in rows} == stated - {"moved_3"}
    assert changed & set(in_pieces.tables()) == OF_SNAPSHOTS


def test_orders_of_snapshots_are_counted_once_as_they_were_stated_last(
    in_pieces: Warehouse,
) -> None:
    query = """
        select order_id, source, revenue_cents, session_id is null as is_sessionless
        from fct_orders
        where
            source = 'crm'
            or order_id in ('o_buy_2', 'o_returned')
        order by order_id
    """
    assert [tuple(row.values()) for row in in_pieces.rows(query)] == [
        ("o_apart_2", "crm", 900, True),
        ("o_buy_2", "shop_web", 1002, False),
        ("o_by_phone", "crm", 2000, True),
        ("o_mistyped", "crm", 100, True),
    ]


def test_another_gap_moves_sessions_after_a_full_refresh(
    homes: Path, in_pieces: Warehouse, lines: list[Row]
) -> None:
    shorter = in_pieces.copy_to(homes / "shorter_gap")

    shorter.dbt(
        "run",
        *("--full-refresh", "--select", "+fct_sessions"),
        *("--vars", "{session_gap_minutes: 10}"),
    )

    built = by_events(shorter.rows(SESSIONS))
    assert len(built) > len(in_pieces.rows(SESSIONS))
    events = deduplicate(lines)
    assert built == expected(sessionize(events, gap=timedelta(minutes=10)))


def test_late_events_rewrite_exactly_the_sessions_that_they_touch(
    late_history: LateHistory, lines: list[Row]
) -> None:
    [last] = late_history.before.rows("select max(change_seq) as seq from fct_sessions")
    rewritten = by_events(
        row
        for row in late_history.after.rows(SESSIONS)
        if row["change_seq"] > last["seq"]
    )

    late_ids = {event["event_id"] for event in late_history.late}
    sessions = sessionize(deduplicate([*lines, *late_history.late]))
    # The reader signed in: its earlier session is now a known person's.
    touched = [
        s for s in sessions if s.event_ids & late_ids or s.visitor_id == "v_reader"
    ]
    assert len(touched) == 6
    assert rewritten == expected(touched)


def test_late_start_leaves_no_row_under_the_old_session_id(
    late_history: LateHistory,
) -> None:
    query = "select first_event_id from fct_sessions where visitor_id = 'v_moved_start'"

    assert late_history.before.rows(query) == [{"first_event_id": "start_1"}]
    assert late_history.after.rows(query) == [{"first_event_id": "late_start"}]


def test_late_login_makes_earlier_sessions_those_of_the_person(
    late_history: LateHistory,
) -> None:
    query = (
        "select person_id from fct_sessions where visitor_id = 'v_reader' group by 1"
    )

    [before], [after] = (
        late_history.before.rows(query),
        late_history.after.rows(query),
    )
    assert before != after
    assert [after] == late_history.after.rows(
        "select person_id from bridge_identities where identifier = 'u_reader'"
    )

"""Thousands of drawn histories, in any order of arrival, against a full rebuild.

A second opinion in plain Python says what sessions and persons they make. The harness
is put to the test as well: it must find what was broken on purpose, and make it small.
"""

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.dbt import nasty_visitors
from tests.dbt.conftest import Row
from tests.dbt.histories import Arrival, History, draw_histories
from tests.dbt.history_runs import (
    ONE_FILE,
    REBUILD,
    Built,
    Yardstick,
    as_code,
    build,
    compare,
    explain,
    is_valid,
    shrink,
)
from tests.dbt.reference_identity import find_persons
from tests.dbt.reference_sessions import deduplicate, parse, sessionize
from tests.dbt.test_sessions import SESSIONS, by_events, expected
from tests.dbt.warehouse import DBT_PROJECT, Warehouse
from tests.releases import PUBLISHED_TABLES


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((4_000, 1), id="thousands"),
        pytest.param(
            (20_000, 1_000), id="tens_of_thousands", marks=pytest.mark.services
        ),
    ],
)
def built(request: pytest.FixtureRequest, homes: Path, target: Path) -> Built:
    count, first_seed = request.param
    histories = draw_histories(count, first_seed)
    return build(histories, Warehouse(homes / f"histories_{count}", target))


@pytest.fixture(scope="module")
def undisputed(built: Built) -> list[Row]:
    """Lines of all histories but those in which a hash decides between two versions."""
    versions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for line in built.lines:
        told = str({**line, "page_title": None})
        versions[line["event_id"], line["received_at"]].add(told)
    disputed = {_history(key[0]) for key, told in versions.items() if len(told) > 1}
    return [
        _with_assumed_consent(line)
        for line in built.lines
        if _history(line["event_id"]) not in disputed
    ]


def _history(identifier: str) -> str:
    return identifier.partition("_")[0]


def _with_assumed_consent(line: Row) -> Row:
    is_stated = any(name.startswith("consent_") for name in line)
    if line["source"] != "rees46" or is_stated:
        return line
    return {**line, "consent_analytics": True}


@pytest.mark.parametrize(
    "yardstick",
    [pytest.param(REBUILD, id="rebuild"), pytest.param(ONE_FILE, id="one_file")],
)
def test_any_order_of_arrival_ends_in_the_same_tables(
    built: Built, yardstick: Yardstick, homes: Path
) -> None:
    other = yardstick.build(built)
    assert {table.name for table in PUBLISHED_TABLES} <= other.tables().keys()

    findings = compare(built, other, yardstick.ignored)

    if findings.by_history or findings.of_all:
        pytest.fail(explain(findings, built, yardstick, homes))


def test_sessions_of_histories_equal_those_of_the_reference(
    built: Built, undisputed: Sequence[Row]
) -> None:
    rows = built.warehouse.rows(SESSIONS)
    told = {_history(line["event_id"]) for line in undisputed}

    _assert_same(
        by_events(row for row in rows if _history(row["event_ids"][0]) in told),
        expected(sessionize(deduplicate(undisputed))),
    )


def test_every_event_is_of_the_person_of_the_reference(
    built: Built, undisputed: Sequence[Row]
) -> None:
    persons = _persons(deduplicate(undisputed))
    rows = built.warehouse.rows("select event_id, person_id from fct_events")

    built_persons = {
        row["event_id"]: row["person_id"] for row in rows if row["event_id"] in persons
    }

    assert len(built_persons) > 0.8 * len(persons)
    _assert_same(
        built_persons, {event_id: persons[event_id] for event_id in built_persons}
    )


def _assert_same(built: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    """Shows a few that differ: a comparison of all of them would be printed in full."""
    differing = [
        (key, built.get(key), wanted.get(key))
        for key in {**built, **wanted}
        if built.get(key) != wanted.get(key)
    ]
    assert differing[:3] == []


def _persons(events: Iterable[Row]) -> dict[str, str]:
    """The person of every event: its account's, else its device's."""
    events = list(events)
    named_by = find_persons(events).named_by
    persons = {}
    for event in events:
        account = event.get("user_id")
        one = ("user", account) if account else ("visitor", event["visitor_id"])
        key = "|".join(named_by.get(one, one))
        persons[event["event_id"]] = f"p_{hashlib.md5(key.encode()).hexdigest()}"
    return persons


def test_histories_hold_what_they_are_meant_to_test(built: Built) -> None:
    [counts] = built.warehouse.rows(
        """
        with

        gaps as (
            select
                session_id != lag(session_id) over visit as is_new,
                epoch_ms(occurred_at) - epoch_ms(lag(occurred_at) over visit) as gap,
            from fct_events
            where session_id in (
                select session_id from fct_sessions where source = 'shop_web'
            )
            window visit as (partition by visitor_id order by occurred_at, event_id)
        )

        select
            (select count(*) from gaps where gap = 1800000 and not is_new) as exact,
            (select count(*) from gaps where gap = 1800001 and is_new) as just_over,
            (select count(*) from gaps where gap = 0) as same_moment,
            (select count(*) from int_events__sessionized
            where set_aside_reason = 'session_too_long') as too_long,
            (select count(*) from int_events__sessionized
            where set_aside_reason = 'no_analytics_consent') as without_consent,
            (select count(*) from fct_sessions where bot_reason = 'machine_fast')
                as fast,
            (select count(*) from fct_sessions where bot_reason = 'headless')
                as declared,
            (select count(*) from (
                select session_id from fct_events
                inner join int_events__deduplicated using (event_id)
                group by session_id
                having count(distinct int_events__deduplicated.change_seq) > 2
            )) as opened_again_and_again,
            (select count(*) from (
                select session_id from fct_events
                group by session_id having count(distinct visitor_id) > 1
            )) as sessions_of_two_visitors,
            (select count(*) from (
                select visitor_id from fct_events
                group by visitor_id having count(distinct user_id) > 1
            )) as shared_devices,
            (select count(*) from fct_events
            where user_id is null and person_id in (
                select person_id from bridge_identities where identifier_type = 'user'
            )) as stitched_events,
            (select count(*) from fct_order_items) as order_items,
            (select count(*) from fct_exposures where variant_count > 1) as exposed_twice,
            (select count(*) from fct_segments where segment = 'cart_abandoner')
                as abandoned_carts,
            (select count(*) from fct_events
            where received_at > occurred_at + interval 3 days) as very_late,
            (select count(*) from fct_events where session_id is null)
                as without_session,
            -- What would be one session, were they counted.
            (select count(*) from (
                select
                    session_id is null and lead(session_id) over visit
                    != lag(session_id) over visit as is_between
                from fct_events
                where source in ('shop_web', 'crm')
                window visit as (partition by visitor_id order by occurred_at, event_id)
            ) where is_between) as between_sessions,
            (select count(*) from (
                select event_id from int_events__sessionized
                inner join int_events__deduplicated as events using (event_id)
                where source = 'crm' and events.change_seq > (
                    select min(change_seq) from int_events__deduplicated
                )
            )) as sessionless_later,
            (select count(*) from fct_orders where session_id is null)
                as orders_of_snapshots,
            (select count(*) from fct_events
            where
                session_id is null and event_name = 'purchase'
                and event_id not in (select purchase_event_id from fct_orders)
            ) as orders_not_counted_again
        """
    )

    assert {name: count for name, count in counts.items() if count < 10} == {}


def test_one_row_that_differs_is_traced_to_its_history(
    built: Built, homes: Path
) -> None:
    broken = built.warehouse.copy_to(homes / f"broken_{len(built.histories)}")
    with duckdb.connect(str(broken.file)) as connection:
        connection.execute(
            "update fct_segments set is_primary = not is_primary "
            "where segment_period_id = (select max(segment_period_id) from fct_segments "
            "inner join fct_events using (person_id) where visitor_id like 'h000007%')"
        )

    findings = compare(built, broken, frozenset())

    assert findings.of_all == []
    assert list(findings.by_history) == [7]
    [found] = findings.by_history[7]
    assert found.table == "fct_segments"
    assert (len(found.in_runs), len(found.wanted)) == (1, 1)


def test_history_printed_as_code_is_the_same_history() -> None:
    for history in draw_histories(200, 50):
        read: list[Arrival] = []
        for line in as_code(history).splitlines():
            if line.startswith("#"):
                run = int(line.rpartition(" ")[2]) - 1
            else:
                row = eval(line.rstrip(","), vars(nasty_visitors))
                read.append(Arrival(run, row))
        assert tuple(read) == history


def test_shrinking_leaves_what_fails_and_nothing_beside_it() -> None:
    """Here a history fails in which somebody buys in a later run than a login."""

    def is_failing(history: History) -> bool:
        logins = [a.run for a in history if a.row["event_name"] == "identify"]
        purchases = [a.run for a in history if a.row["event_name"] == "purchase"]
        return any(login < run for login in logins for run in purchases)

    def fails(candidates: Sequence[History]) -> Collection[int]:
        assert all(is_valid(candidate) for candidate in candidates)
        return [place for place, one in enumerate(candidates) if is_failing(one)]

    failing = [history for history in draw_histories(500, 60) if is_failing(history)]
    assert len(failing) > 5
    for history in failing[:20]:
        first, second = shrink(history, fails)
        assert (first.run, second.run) == (0, 1)
        assert first.row["event_name"] == "identify"
        usual = nasty_visitors.event("", "", nasty_visitors.DAY)
        assert second.row.keys() == usual.keys()


@pytest.mark.services
def test_broken_model_is_found_and_the_history_that_breaks_it_made_small(
    tmp_path: Path, homes: Path
) -> None:
    """Broken on purpose: an event re-opens only the sessions within five minutes."""
    project = tmp_path / "dbt_project"
    shutil.copytree(
        DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs")
    )
    model = project / "models" / "intermediate" / "int_events__sessionized.sql"
    sound = "sessions_nearby.started_at - {{ session_gap() }}"
    assert model.read_text().count(sound) == 1
    broken = sound.replace("{{ session_gap() }}", "interval '5 minutes'")
    model.write_text(model.read_text().replace(sound, broken))
    (tmp_path / "target").mkdir()
    warehouse = Warehouse(homes / "broken_model", tmp_path / "target", project)

    built = build(draw_histories(100, 1), warehouse, "--select", "+fct_sessions")
    findings = compare(built, REBUILD.build(built), REBUILD.ignored)
    report = explain(findings, built, REBUILD, homes)

    assert len(findings.by_history) > 5
    code = report.partition("made small:\n")[2]
    arrivals = [line for line in code.splitlines() if line.startswith(("#", "event"))]
    assert [line for line in arrivals if line.startswith("#")] == ["# run 1", "# run 2"]
    later, earlier = (
        eval(line.rstrip(","), vars(nasty_visitors))
        for line in arrivals
        if line.startswith("event")
    )
    apart = parse(later["occurred_at"]) - parse(earlier["occurred_at"])
    assert timedelta(minutes=5) < apart <= timedelta(minutes=30)

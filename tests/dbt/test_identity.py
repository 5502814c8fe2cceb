"""Who is whom: named stories, a second opinion, and links that are taken apart."""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime
from pathlib import Path

import pytest

from nearline.identity.unlinks import Link, relink, unlink
from nearline.privacy.suppression import suppress
from tests.dbt.identity_scenarios import (
    FIRST,
    LAST,
    SCENARIOS,
    SUPPRESSED,
    Scenario,
    crowd,
)
from tests.dbt.nasty_visitors import at, event
from tests.dbt.reference_identity import find_persons
from tests.dbt.reference_sessions import (
    SOURCES_WITHOUT_SESSIONS,
    deduplicate,
    sessionize,
)
from tests.dbt.warehouse import Row, Warehouse, differences

TYPES = {"v": "visitor", "u": "user", "c": "contact"}
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "identity.md"
NOW = datetime(2026, 10, 1, 12)
TOLD = [
    *(line for scenario in SCENARIOS for line in scenario.events),
    *crowd(seed=1, groups=400),
]
SCENARIOS_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def person_of(identifier: str) -> str:
    """Id of the person that an identifier names."""
    named = f"{TYPES[identifier[0]]}|{identifier}"
    return f"p_{hashlib.md5(named.encode()).hexdigest()}"


def link_of(scenario: Scenario, pair: str) -> Link:
    one, other = (scenario.full(short) for short in pair.split())
    return Link(TYPES[one[0]], one, TYPES[other[0]], other)


def land_in_pieces(warehouse: Warehouse) -> None:
    """Three increments, the stories' events in any order and some of them twice."""
    rng = random.Random(4)
    pieces: list[list[Row]] = [list(FIRST), [], list(LAST)]
    for line in TOLD:
        rng.choice(pieces).append(line)
        if rng.random() < 0.1:
            rng.choice(pieces).append(line)
    for number, piece in enumerate(pieces):
        rng.shuffle(piece)
        warehouse.land(piece, f"stories_{number}")
        warehouse.dbt("run")


@pytest.fixture(scope="module")
def stories(homes: Path, target: Path) -> Warehouse:
    warehouse = Warehouse(homes / "stories", target)
    for scenario in SCENARIOS:
        for pair in scenario.unlinked:
            unlink(warehouse.settings, link_of(scenario, pair), "not them", NOW)
        if scenario.name == SUPPRESSED:
            suppress(warehouse.settings, "user", scenario.full("u2"), "erased", NOW)
    land_in_pieces(warehouse)
    return warehouse


@pytest.fixture(scope="module")
def bridge(stories: Warehouse) -> dict[str, str]:
    rows = stories.rows("select identifier, person_id from bridge_identities")
    return {row["identifier"]: row["person_id"] for row in rows}


@pytest.fixture(scope="module")
def refused(stories: Warehouse) -> dict[tuple[str, str], str]:
    rows = stories.rows("select * from fct_identity_links where not is_held")
    return {
        (row["identifier"], row["other_identifier"]): row["refused_reason"]
        for row in rows
    }


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_persons_are_those_of_the_story(
    scenario: Scenario,
    bridge: dict[str, str],
    refused: dict[tuple[str, str], str],
) -> None:
    slug = scenario.full("v")[1:]
    found = {key: person for key, person in bridge.items() if key[1:].startswith(slug)}
    found = {key: who for key, who in found.items() if key[len(slug) + 1 :].isdigit()}

    assert found == {
        scenario.full(member): person_of(scenario.full(named_by))
        for named_by, members in scenario.persons.items()
        for member in members.split()
    }
    assert {pair: reason for pair, reason in refused.items() if pair[0] in found} == {
        (scenario.full(pair.split()[0]), scenario.full(pair.split()[1])): reason
        for pair, reason in scenario.refused.items()
    }


def test_facts_carry_the_person_of_the_account_else_of_the_device(
    stories: Warehouse, bridge: dict[str, str]
) -> None:
    rows = stories.rows("select * from fct_events")

    assert [row["person_id"] for row in rows] == [
        bridge[row["user_id"] or row["visitor_id"]] for row in rows
    ]
    [counts] = stories.rows(
        "select count(*) as n, count(*) filter (where views.person_id = "
        "events.person_id) as agreeing from fct_page_views as views "
        "inner join fct_events as events on views.page_view_id = events.event_id"
    )
    assert counts["n"] == counts["agreeing"] > 0


def test_scenarios_are_those_of_the_guide() -> None:
    table = GUIDE.read_text().partition("## Scenarios")[2].partition("\n## ")[0]
    names = re.findall(r"^\| ([^|]+?) \|", table, flags=re.MULTILINE)

    assert sorted(names) == sorted(["scenario", *SCENARIOS_BY_NAME])


def test_erased_account_is_in_no_table_of_identities(stories: Warehouse) -> None:
    (scenario,) = [each for each in SCENARIOS if each.name == SUPPRESSED]
    erased = scenario.full("u2")
    tables = [name for name in stories.tables() if "identit" in name]

    assert len(tables) > 5
    for table in tables:
        assert (
            stories.rows(
                f"select * from {table} as t where t::varchar like '%{erased}%'"
            )
            == []
        )


def test_every_end_of_a_link_has_a_person_and_only_a_held_link_joins_two(
    stories: Warehouse,
) -> None:
    [counts] = stories.rows(
        """
        select
            count(*) filter (where one.person_id is null or other.person_id is null)
                as ends_without_person,
            count(*) filter (where is_held and one.person_id != other.person_id)
                as held_links_between_two_persons,
        from fct_identity_links as links
        left join bridge_identities as one using (identifier_type, identifier)
        left join bridge_identities as other
            on links.other_identifier_type = other.identifier_type
            and links.other_identifier = other.identifier
        """
    )

    assert set(counts.values()) == {0}


def test_the_way_from_each_identifier_ends_at_the_one_that_names_the_person(
    stories: Warehouse,
) -> None:
    rows = stories.rows("select * from bridge_identities")
    next_on_the_way = {row["identifier"]: row["linked_to"] for row in rows}

    for row in rows:
        end, steps = row["identifier"], 0
        while next_on_the_way[end] is not None:
            end, steps = next_on_the_way[end], steps + 1
            assert steps < 50
        assert row["person_id"] == person_of(end)
        assert (row["link_reason"] == "own") == (steps == 0)


def test_increments_equal_a_full_refresh_row_for_row(
    homes: Path, stories: Warehouse
) -> None:
    rebuilt = stories.copy_to(homes / "stories_rebuilt")
    rebuilt.dbt("run", "--full-refresh")

    assert differences(stories, rebuilt) == {}


@pytest.fixture(scope="module")
def operated(homes: Path, stories: Warehouse) -> dict[str, Warehouse]:
    """The stories after an unlink, and after it was taken back; no event arrived."""
    unlinked = stories.copy_to(homes / "stories_unlinked")
    for pair in OPERATED_LINKS:
        assert unlink(unlinked.settings, pair, "two people", NOW)
    unlinked.dbt("run")
    relinked = unlinked.copy_to(homes / "stories_relinked")
    for pair in OPERATED_LINKS:
        assert relink(relinked.settings, pair)
    relinked.dbt("run")
    return {"unlinked": unlinked, "relinked": relinked}


OPERATED_LINKS = [
    link_of(SCENARIOS_BY_NAME[name], pair)
    for name, pair in (
        ("second device", "v2 u1"),
        ("CRM merge of two accounts", "c1 u2"),
    )
]


def test_an_unlink_moves_the_events_of_those_that_it_parts_and_no_others(
    stories: Warehouse, operated: dict[str, Warehouse]
) -> None:
    query = """
        select distinct visitor_id, person_id
        from {table}
        where visitor_id like 'v_second_device_%' or visitor_id like 'v_CRM_merge_%'
        order by all
    """
    parted = {
        "v_CRM_merge_of_two_accounts_1": "u_CRM_merge_of_two_accounts_1",
        "v_CRM_merge_of_two_accounts_2": "u_CRM_merge_of_two_accounts_2",
        "v_second_device_1": "u_second_device_1",
    }
    moved = operated["unlinked"]

    found = moved.rows(query.format(table="fct_events"))
    # The second device's signed-in events stay the account's; the others are its own.
    assert found == [
        *({"visitor_id": v, "person_id": person_of(u)} for v, u in parted.items()),
        *(
            {"visitor_id": "v_second_device_2", "person_id": person}
            for person in sorted(
                map(person_of, ["u_second_device_1", "v_second_device_2"])
            )
        ),
    ]
    assert moved.rows(query.format(table="fct_sessions")) == found
    [last] = stories.rows("select max(change_seq) as seq from fct_events")
    assert moved.rows(
        f"select event_id from fct_events where change_seq > {last['seq']} order by 1"
    ) == [
        {"event_id": "CRM_merge_of_two_accounts_001"},
        {"event_id": "CRM_merge_of_two_accounts_003"},
        {"event_id": "second_device_002"},
    ]


def test_a_relink_brings_back_every_table_as_it_was(
    stories: Warehouse, operated: dict[str, Warehouse]
) -> None:
    assert differences(stories, operated["unlinked"]) != {}
    assert differences(stories, operated["relinked"]) == {}


def test_events_that_arrive_after_an_unlink_are_taken_up(
    homes: Path, operated: dict[str, Warehouse]
) -> None:
    later = operated["unlinked"].copy_to(homes / "stories_later")
    later.land(
        [event("after_unlink", "v_second_device_2", at("12:00", 9))], "after_unlink"
    )
    later.dbt("run")
    rebuilt = later.copy_to(homes / "stories_later_rebuilt")
    rebuilt.dbt("run", "--full-refresh")

    assert differences(later, rebuilt) == {}
    assert later.rows(
        "select event_count from fct_sessions where first_event_id = 'after_unlink'"
    ) == [{"event_count": 1}]


def by_reference(
    lines: Iterable[Row], unlinked: Collection[frozenset[str]] = ()
) -> tuple[dict[tuple[str, str], str], list[Row]]:
    """Persons by identifier, and links, as the reference has them."""
    events = deduplicate(lines)
    found = find_persons(events, unlinked)
    # A device all of whose events were set aside is in no fact.
    kept = {id_ for session in sessionize(events) for id_ in session.event_ids} | {
        event["event_id"]
        for event in events
        if event["source"] in SOURCES_WITHOUT_SESSIONS
        and event.get("consent_analytics")
    }
    seen = {
        ("visitor", event["visitor_id"])
        for event in events
        if event["event_id"] in kept
    } | {each for pair in found.evidence for each in pair}
    links = [
        {
            "pair": (*one, *other),
            "first_seen_at": found.evidence[one, other].first_seen_at,
            "day_count": len(found.evidence[one, other].days),
            "event_count": len(found.evidence[one, other].events),
            "refused_reason": verdict,
        }
        for (one, other), verdict in found.verdicts.items()
    ]
    persons = {
        each: f"p_{hashlib.md5('|'.join(name).encode()).hexdigest()}"
        for each, name in found.named_by.items()
        if each in seen
    }
    return persons, sorted(links, key=lambda link: link["pair"])


def as_built(warehouse: Warehouse) -> tuple[dict[tuple[str, str], str], list[Row]]:
    bridge = warehouse.rows("select * from bridge_identities")
    links = warehouse.rows("select * from fct_identity_links")
    persons = {
        (row["identifier_type"], row["identifier"]): row["person_id"] for row in bridge
    }
    compared = [
        {
            "pair": (
                row["identifier_type"],
                row["identifier"],
                row["other_identifier_type"],
                row["other_identifier"],
            ),
            "first_seen_at": row["first_seen_at"],
            "day_count": row["day_count"],
            "event_count": row["event_count"],
            "refused_reason": row["refused_reason"],
        }
        for row in links
    ]
    return persons, sorted(compared, key=lambda link: link["pair"])


def test_persons_and_links_of_a_shop_equal_those_of_the_reference(
    in_pieces: Warehouse, lines: list[Row]
) -> None:
    persons, links = as_built(in_pieces)

    assert len(links) > 10
    assert (persons, links) == by_reference(lines)


def test_persons_and_links_of_stories_and_of_a_crowd_equal_those_of_the_reference(
    stories: Warehouse,
) -> None:
    erased = SCENARIOS_BY_NAME[SUPPRESSED].full("u2")
    unlinked = {
        frozenset(map(scenario.full, pair.split()))
        for scenario in SCENARIOS
        for pair in scenario.unlinked
    }
    lines = [line for line in (*FIRST, *LAST, *TOLD) if erased not in line.values()]

    persons, links = as_built(stories)

    assert (persons, links) == by_reference(lines, unlinked)
    reasons = Counter(link["refused_reason"] for link in links)
    assert len(reasons) == 9
    assert reasons[None] > 500

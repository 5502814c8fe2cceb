"""Who is whom: named stories, a second opinion, and links that are taken apart."""

import hashlib
import random
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
)
from tests.dbt.warehouse import Row, Warehouse, differences

TYPES = {"v": "visitor", "u": "user", "c": "contact"}
NOW = datetime(2026, 10, 1, 12)


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
    for scenario in SCENARIOS:
        for line in scenario.events:
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
    assert {
        pair: reason for pair, reason in refused.items() if pair[0] in found
    } == {
        (scenario.full(pair.split()[0]), scenario.full(pair.split()[1])): reason
        for pair, reason in scenario.refused.items()
    }

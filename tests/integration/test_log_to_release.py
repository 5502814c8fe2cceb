"""What lies in the event log is in the next release, and the release says so."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from nearline.landing.from_log import find_unlanded, land_log
from nearline.log import NewRecord, open_log
from nearline.publication.releases import read_manifest
from nearline.settings import Settings
from tests.pipeline import Home

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def _append(settings: Settings, topic: str, *values: dict[str, Any]) -> None:
    with closing(open_log(settings, topic)) as log:
        log.append([NewRecord("k", json.dumps(value).encode()) for value in values])


def _page_view(number: int) -> dict[str, Any]:
    moment = NOON + timedelta(minutes=number)
    return {
        "event_id": f"e_{number:03d}",
        "event_name": "page_view",
        "schema_version": "1.1",
        "occurred_at": moment.isoformat(),
        "received_at": (moment + timedelta(seconds=1)).isoformat(),
        "source": "web",
        "visitor_id": "v_anna00001",
        "consent_analytics": True,
    }


def _letter(id_: str, source: str) -> dict[str, Any]:
    fields = {**_page_view(900), "event_id": id_, "source": source, "page_path": "***"}
    return {
        "deadletter_id": id_,
        "received_at": NOON.isoformat(),
        "source": source,
        "input": "event",
        "schema_version": "1.1",
        "event_name": "page_view",
        "field": "page_path",
        "reason": "must be a path without query or fragment; got text",
        "fields": fields,
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Twenty events and three dead letters, of which one was replayed."""
    home = Home(tmp_path_factory.mktemp("home"))
    _append(home.settings, "events", *map(_page_view, range(20)))
    letters = [_letter("d_1", "web"), _letter("d_2", "app"), _letter("d_3", "app")]
    _append(home.settings, "deadletters", *letters)
    home.nearline(
        "deadletters", "replay", "d_3", "--drop", "page_path",
        "--fix", f"occurred_at={NOON.isoformat()}",
    )  # fmt: skip
    home.nearline("run")
    return home


def test_a_run_lands_the_log_and_publishes_what_it_held(home: Home) -> None:
    assert home.published("select event_id from {fct_events} order by 1") == [
        ("d_3",),
        *((f"e_{number:03d}",) for number in range(20)),
    ]


def test_the_release_says_up_to_which_offsets_it_holds_the_log(home: Home) -> None:
    manifest = read_manifest(home.settings.published)
    assert manifest is not None
    # Twenty events and the replayed one, three letters: the next offsets.
    assert manifest.log_positions == {"deadletters": {"0": 4}, "events": {"0": 22}}
    assert manifest.log is not None
    assert manifest.log.startswith("sqlite/")


def test_what_lands_after_the_release_is_not_in_its_positions(home: Home) -> None:
    _append(home.settings, "events", _page_view(30))
    assert find_unlanded(home.settings) == {("events", 0): 22}
    land_log(home.settings)
    manifest = read_manifest(home.settings.published)
    assert manifest is not None
    assert manifest.log_positions["events"] == {"0": 22}


def test_quarantine_counts_dead_letters_by_reason_source_and_replay(
    home: Home,
) -> None:
    assert home.published(
        "select deadletter_id, source, schema_version, replayed_at is not null "
        "from {ops_quarantine} order by 1"
    ) == [
        ("d_1", "web", "1.1", False),
        ("d_2", "app", "1.1", False),
        ("d_3", "app", "1.1", True),
    ]
    page = (home.settings.site / "index.html").read_text()
    assert "page_path: must be a path without query or fragment" in page
    assert "1 other row mended and replayed" in page


@pytest.fixture
def sensor(home: Home) -> Iterator[dg.SensorDefinition]:
    from orchestration.definitions import defs

    before = os.environ.get("NEARLINE_HOME")
    os.environ["NEARLINE_HOME"] = str(home.path)
    yield defs().resolve_sensor_def("event_log")
    if before is None:
        del os.environ["NEARLINE_HOME"]
    else:
        os.environ["NEARLINE_HOME"] = before


def test_the_sensor_asks_for_a_run_when_the_log_is_ahead(
    home: Home, sensor: dg.SensorDefinition
) -> None:
    def asked() -> list[str | None]:
        with dg.build_sensor_context() as context:
            data = sensor.evaluate_tick(context)
        return [request.run_key for request in data.run_requests or []]

    land_log(home.settings)
    assert asked() == []
    _append(home.settings, "events", _page_view(40))
    (first,) = asked()
    assert first is not None
    assert first.startswith("events/0 from ")
    land_log(home.settings)
    assert asked() == []

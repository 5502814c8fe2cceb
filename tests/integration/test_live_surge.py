"""A minute of a hundred times the usual rate: nothing is lost, and memory stays bounded."""

import json
import random
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nearline.log import EVENTS, NewRecord, open_log
from nearline.simulate import Plan, simulate
from tests.memory import sampled_memory
from tests.pipeline import NEARLINE, Home
from tests.ports import free_port

pytestmark = pytest.mark.services

USUAL_RATE, TIMES = 5, 100
SURGE_SECONDS = 60
VISITORS = 3_000
MOST_MIB = 1_500
_PATIENCE_SECONDS = 900.0
_TICK_SECONDS = 0.1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A small shop, published, with all the features that we ship."""
    home = Home(tmp_path / "home")
    start = date.today() - timedelta(days=3)
    simulate(Plan(40, 2, 7, start, 0.15), tmp_path / "shop")
    home.nearline("ingest", tmp_path / "shop" / "events")
    home.nearline("run")
    return home


def test_a_minute_of_a_hundred_times_the_usual_rate_loses_nothing(home: Home) -> None:
    port = free_port()
    rng = random.Random(6)
    sent: Counter[str] = Counter()
    with (
        _live(home, port) as process,
        closing(open_log(home.settings, EVENTS)) as log,
        sampled_memory(process.pid) as mebibytes,
    ):

        def send(rate: int, seconds: float) -> None:
            began, count = time.monotonic(), 0
            while (passed := time.monotonic() - began) < seconds:
                visitors = [
                    f"v_surge{rng.randrange(VISITORS):08}"
                    for _ in range(int(passed * rate) - count)
                ]
                log.append([_page_view(visitor) for visitor in visitors])
                sent.update(visitors)
                count += len(visitors)
                time.sleep(_TICK_SECONDS)

        send(USUAL_RATE, 5)
        send(USUAL_RATE * TIMES, SURGE_SECONDS)
        send(USUAL_RATE, 5)
        end = time.monotonic() + _PATIENCE_SECONDS
        while _metric(port, "nearline_live_records_total") < sent.total():
            assert process.poll() is None
            assert time.monotonic() < end, "it does not catch up"
            time.sleep(0.5)
        assert _metric(port, "nearline_live_views_off") == 0
        assert _counts(home, sorted(sent)) == sent
    assert sent.total() > 0.5 * USUAL_RATE * TIMES * SURGE_SECONDS
    assert max(mebibytes) < MOST_MIB


@contextmanager
def _live(home: Home, port: int) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        [NEARLINE, "live", f"--metrics-port={port}"], env=home.environment()
    )
    try:
        end = time.monotonic() + _PATIENCE_SECONDS
        while True:
            assert process.poll() is None
            assert time.monotonic() < end
            try:
                _metric(port, "nearline_live_records_total")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _metric(port: int, name: str) -> float:
    """The sum over its labels."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    )


def _page_view(visitor: str) -> NewRecord:
    at = datetime.now(UTC).isoformat()
    event = {
        "event_id": uuid.uuid4().hex,
        "event_name": "page_view",
        "schema_version": "1.2",
        "occurred_at": at,
        "received_at": at,
        "source": "shop",
        "visitor_id": visitor,
        "page_path": "/",
        "consent_analytics": True,
        "consent_personalization": True,
        "consent_marketing": False,
        "consent_notice_version": "1",
    }
    return NewRecord(visitor, json.dumps(event).encode())


def _counts(home: Home, visitors: list[str]) -> dict[str, int]:
    """Page views of a day, as apps read them."""
    from feast import FeatureStore

    answer = (
        FeatureStore(repo_path=str(home.settings.online))
        .get_online_features(
            features=["visitor_activity_24h_v1:page_view_count_24h"],
            entity_rows=[{"visitor_id": visitor} for visitor in visitors],
        )
        .to_dict()
    )
    return dict(zip(visitors, answer["page_view_count_24h"], strict=True))

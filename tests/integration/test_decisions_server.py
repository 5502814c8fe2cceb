"""`nearline serve` as an app meets it: by its client, over HTTP, killed and restarted."""

import json
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from nearline.decisions.client import (
    SERVICE_AWAY,
    Consent,
    Context,
    DecisionsClient,
    DecisionsRefusedError,
    DecisionsUnavailableError,
    Outcome,
    SlotContent,
)
from nearline.log import EVENTS
from nearline.recommend.training import train
from tests.ports import free_port
from tests.running_collector import RunningCollector, running_decisions
from tests.unit.recommend.small_shop import small_shop

YES = Context(consent=Consent(analytics=True, personalization=True))
VISITOR = "0f3a2b4c5d6e7f80"
DEFAULT = SlotContent(kind="message", content={"text": "Hello"})
_PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    """The fashion shop's recommender in service; no online store is there."""
    shop = small_shop(tmp_path_factory.mktemp("shop") / "home")
    train(shop.settings, seed=0, now=datetime.now(UTC), code_version="test")
    with running_decisions(shop.settings.home) as running:
        client = DecisionsClient(running.url, "dev", timeout_seconds=30)
        until = time.monotonic() + _PATIENCE_SECONDS
        while client.recommend(VISITOR, 1).answer != "general":
            assert time.monotonic() < until, running.output()
            time.sleep(0.1)
        yield running


@pytest.fixture
def client(service: RunningCollector) -> Iterator[DecisionsClient]:
    client = DecisionsClient(service.url, "dev", timeout_seconds=30)
    yield client
    client.close()


def test_a_client_gets_each_slot_and_reports_what_came_of_it(
    service: RunningCollector, client: DecisionsClient
) -> None:
    shown = client.decide(VISITOR, ["home_banner", "home_carousel"], YES)
    assert shown["home_banner"].content["text"]
    carousel = shown["home_carousel"]
    assert (carousel.kind, len(carousel.items)) == ("items", 8)
    assert (carousel.answer, carousel.fallback) == ("general", "store_unavailable")
    assert all(item.reason for item in carousel.items)
    assert carousel.decision_id is not None
    clicked = Outcome(carousel.decision_id, "click", carousel.item_ids[0], 1.0)
    assert client.outcomes(VISITOR, [clicked], YES) == 1

    until = time.monotonic() + _PATIENCE_SECONDS
    while carousel.decision_id not in service.event_ids():
        assert time.monotonic() < until
        time.sleep(0.05)
    events = [json.loads(record.value) for record in service.records(EVENTS)]
    (response,) = [one for one in events if one["event_name"] == "response"]
    assert response["properties"]["decision_id"] == carousel.decision_id
    (decision,) = [one for one in events if one["event_id"] == carousel.decision_id]
    assert decision["properties"]["chosen"] == carousel.item_ids
    # Under one pseudonym, and never under the raw id.
    assert response["visitor_id"] == decision["visitor_id"] != VISITOR


def test_an_outcome_sent_twice_is_one_event(
    service: RunningCollector, client: DecisionsClient
) -> None:
    once = Outcome("d_1", "dismiss", event_id="r_mine")
    for _ in range(2):
        assert client.outcomes(VISITOR, [once], YES) == 1
    assert set(service.event_ids()) >= {"r_mine"}


def test_without_consent_a_client_gets_an_answer_and_leaves_no_trace(
    service: RunningCollector, client: DecisionsClient
) -> None:
    before = len(service.records(EVENTS))
    shown = client.decide("somebody-else", ["home_carousel"])["home_carousel"]
    assert (shown.answer, shown.decision_id, shown.fallback) == ("general", None, None)
    # Whatever it might have written is written by now.
    client.outcomes(VISITOR, [Outcome("d_2", "click")], YES)
    assert len(service.records(EVENTS)) == before + 1


def test_scores_and_segments_say_what_there_is(client: DecisionsClient) -> None:
    scores = client.score(VISITOR, YES)
    assert {one.reason for one in scores.values()} == {"store_unavailable"}
    assert client.segments("with/slash and blank") == []


def test_a_client_is_told_what_is_wrong_with_its_request(
    service: RunningCollector, client: DecisionsClient
) -> None:
    with pytest.raises(DecisionsRefusedError, match="slots") as refused:
        client.decide(VISITOR, [])
    assert (refused.value.status, refused.value.field) == (400, "slots")
    with pytest.raises(DecisionsRefusedError, match="key is unknown"):
        DecisionsClient(service.url, "other", timeout_seconds=30).decide(VISITOR, ["a"])


def test_a_client_without_its_service_shows_its_defaults() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    client = DecisionsClient(url, "dev", defaults={"home_banner": DEFAULT})
    shown = client.decide(VISITOR, ["home_banner", "other"], YES)
    assert shown["home_banner"].content == {"text": "Hello"}
    assert {one.fallback for one in shown.values()} == {SERVICE_AWAY}
    assert shown["other"].kind == "none"
    assert client.recommend(VISITOR).items == ()
    for ask in (client.score, client.segments):
        with pytest.raises(DecisionsUnavailableError):
            ask(VISITOR)
    with pytest.raises(DecisionsUnavailableError):
        client.outcomes(VISITOR, [Outcome("d_1", "click")])


def test_what_was_decided_is_on_record_after_the_service_was_asked_to_end(
    tmp_path: Path,
) -> None:
    with running_decisions(tmp_path / "home") as running:
        client = DecisionsClient(running.url, "dev", timeout_seconds=30)
        decided = [
            client.decide(VISITOR, ["home_banner"], YES)["home_banner"].decision_id
            for _ in range(50)
        ]
        assert running.stop() == 0, running.output()
        assert running.event_ids() == decided


def test_what_was_begun_before_the_service_was_asked_to_end_is_answered(
    tmp_path: Path,
) -> None:
    body = json.dumps({"visitor": VISITOR, "slots": ["home_banner"]}).encode()
    head = (
        "POST /v1/decide HTTP/1.1\r\nHost: localhost\r\nX-Nearline-Key: dev\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    with running_decisions(tmp_path / "home") as running:
        assert running.process is not None
        with socket.create_connection(("127.0.0.1", running.port), 30) as asking:
            asking.sendall(head.encode() + body[:10])
            # On a connection of its own it is answered after the one before it began.
            httpx.get(f"{running.url}/readyz", timeout=30)
            running.process.terminate()
            until = time.monotonic() + _PATIENCE_SECONDS
            while _takes_connections(running.port):
                assert time.monotonic() < until
                time.sleep(0.05)
            asking.sendall(body[10:])
            assert asking.recv(100).startswith(b"HTTP/1.1 200 ")
        assert running.process.wait(_PATIENCE_SECONDS) == 0


def _takes_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True

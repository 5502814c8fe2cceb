"""The collector as it runs: its own server, processes, sockets and log."""

import gzip
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.running_collector import (
    RunningCollector,
    batch,
    event,
    running_collector,
)

ORIGIN = "http://localhost:3000"
SECRETS = {
    "e-mail": "zoe.secret7731@mail.example",
    "phone": "+49 170 7731773",
    "address": "203.0.113.77",
    "account": "ACC-77317731",
}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCollector]:
    with running_collector(tmp_path_factory.mktemp("home"), workers=2) as running:
        yield running


def test_it_says_where_it_is_and_warns_of_the_key_that_all_know(
    collector: RunningCollector,
) -> None:
    output = collector.output()
    assert collector.url in output
    assert str(collector.home / "log") in output
    assert "key dev" in output
    assert "warning" in output


def test_events_of_a_page_are_in_the_log_when_it_is_answered(
    collector: RunningCollector,
) -> None:
    body = batch(event("page-1"), event("page-2"))
    # As the tracker sends it: text, so that no preflight is needed.
    response = httpx.post(
        f"{collector.url}/v1/events",
        content=json.dumps(body),
        headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": ORIGIN},
    )
    assert response.json()["accepted"] == 2
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert {"page-1", "page-2"} <= set(collector.event_ids())


def test_a_body_may_come_in_pieces_and_gzipped(collector: RunningCollector) -> None:
    body = gzip.compress(json.dumps(batch(event("gzip-1"))).encode())

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 50):
            yield body[start : start + 50]

    response = httpx.post(
        f"{collector.url}/v1/events",
        content=pieces(),
        headers={"Content-Encoding": "gzip"},
    )
    assert response.json()["accepted"] == 1


def test_a_preflight_over_the_wire(collector: RunningCollector) -> None:
    headers = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    response = httpx.options(f"{collector.url}/v1/events", headers=headers)
    assert (response.status_code, response.content) == (204, b"")


def test_a_body_without_end_is_refused_while_it_comes(
    collector: RunningCollector,
) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    try:
        response = httpx.post(
            f"{collector.url}/v1/events", content=endless(), timeout=10
        )
    except httpx.WriteError:
        # The server may hang up on a sender that does not listen.
        return
    assert response.status_code == 413


def test_two_workers_count_together(collector: RunningCollector) -> None:
    before = _accepted(collector)
    for number in range(40):
        # A connection of its own each, so that both workers get some.
        collector.post(batch(event(f"counted-{number}")))
    assert [_accepted(collector) - before for _ in range(8)] == [40.0] * 8


def _accepted(collector: RunningCollector) -> float:
    """Events that its metrics say it accepted."""
    name = 'nearline_collector_events_total{source="web",status="accepted"}'
    text = httpx.get(f"{collector.url}/metrics").text
    values = [line.split()[-1] for line in text.splitlines() if name in line]
    return float(values[0]) if values else 0.0


def test_numbers_are_a_services_own_whatever_folder_it_inherits(
    tmp_path: Path,
) -> None:
    inherited = tmp_path / "inherited"
    inherited.mkdir()
    variables = {"PROMETHEUS_MULTIPROC_DIR": str(inherited)}
    with (
        running_collector(tmp_path / "home", **variables) as alone,
        running_collector(tmp_path / "home", workers=2, **variables) as of_two,
    ):
        for asked, other in ((alone, of_two), (of_two, alone)):
            before = _accepted(other)
            asked.post(batch(event(f"counted-by-{asked.workers}")))
            assert (_accepted(asked), _accepted(other)) == (1.0, before)
    assert not list(inherited.iterdir())


def test_no_identifier_is_in_any_file_of_the_installation(tmp_path: Path) -> None:
    email, phone, address, account = SECRETS.values()
    with running_collector(tmp_path / "home") as collector:
        body = batch(
            event(
                "safe-1",
                user_id=account,
                visitor_id=f"cookie-{account}",
                page_url=f"http://localhost/u/{account}/{email}?to={email}&ip={address}",
                referrer=f"http://{address}/",
                link_url=f"mailto:{email}",
                page_title=f"Hello {email}",
                search_term=phone,
                order_id=address,
                properties={"note": f"call {phone}", "at": [address], "who": account},
                user_agent=f"Mozilla/5.0 {email}",
            ),
            event("safe-2", event_name="Bad Name", user_id=account, page_title=account),
            event("safe-3", **{email: 1}),
            event("safe-4", consent_analytics=False, user_id=account),
            event(email),
        )
        headers = {"X-Forwarded-For": address, "User-Agent": email}
        answer = collector.post(body, headers=headers)
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 4)
        assert "secret7731" not in answer.text
        collector.stop()
        contents = [
            (file, file.read_bytes().lower())
            for file in (tmp_path / "home").rglob("*")
            if file.is_file()
        ]
        assert len(collector.records("deadletters")) == 4
    for secret in (b"secret7731", b"7731773", b"203.0.113.77", b"acc-77317731"):
        for file, content in contents:
            assert secret not in content, file


def test_a_duplicate_is_known_after_a_restart(tmp_path: Path) -> None:
    with running_collector(tmp_path / "home") as collector:
        assert collector.post(batch(event("once"))).json()["accepted"] == 1
        assert collector.stop() == 0
        collector.start()
        assert collector.post(batch(event("once"))).json()["duplicate"] == 1
        assert collector.event_ids() == ["once"]


def test_too_much_is_told_when_to_come_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    source = {
        "write_key": "dev",
        "source": "web",
        "events_per_second": 0.01,
        "burst_events": 1,
    }
    (home / "collector.json").write_text(json.dumps({"sources": [source]}))
    with running_collector(home) as collector:
        assert collector.post(batch(event("first"))).status_code == 200
        response = collector.post(batch(event("second")))
        assert response.status_code == 429
        assert 90 < int(response.headers["retry-after"]) <= 100


def test_a_log_that_is_locked_and_one_that_is_gone_are_503_until_they_are_back(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with running_collector(home, NEARLINE_LOG_TIMEOUT_SECONDS="0.3") as collector:
        assert collector.post(batch(event("before"))).status_code == 200
        other = sqlite3.connect(home / "log" / "events.sqlite", isolation_level=None)
        other.execute("begin immediate")
        response = collector.post(batch(event("during")), headers={"Origin": ORIGIN})
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert httpx.get(f"{collector.url}/readyz").status_code == 503
        assert httpx.get(f"{collector.url}/healthz").status_code == 200
        other.execute("rollback")
        other.close()
        assert collector.post(batch(event("during"))).json()["accepted"] == 1
        assert httpx.get(f"{collector.url}/readyz").status_code == 200
        assert collector.event_ids() == ["before", "during"]


def test_asked_to_end_it_finishes_what_was_begun(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_collector(home, NEARLINE_LOG_TIMEOUT_SECONDS="20") as collector:
        collector.post(batch(event("before")))
        other = sqlite3.connect(
            home / "log" / "events.sqlite",
            isolation_level=None,
            check_same_thread=False,
        )
        other.execute("begin immediate")
        answers: list[httpx.Response] = []
        sender = threading.Thread(
            target=lambda: answers.append(collector.post(batch(event("begun"))))
        )
        sender.start()
        # Until the request is inside: nothing outside shows when.
        time.sleep(1)
        assert collector.process is not None
        collector.process.terminate()
        time.sleep(0.5)
        other.execute("rollback")
        other.close()
        sender.join(30)
        assert [answer.status_code for answer in answers] == [200]
        assert collector.process.wait(30) == 0
        assert collector.event_ids() == ["before", "begun"]

"""Decisions behind nginx: what it keeps, what it never does, and a restart behind it."""

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.asking_client import CONTEXT, KEY, VISITOR
from tests.nginx_server import Nginx, running_nginx
from tests.pipeline import ROOT
from tests.running_collector import RunningCollector, running_decisions

pytestmark = pytest.mark.services

PAGE = """
version: 1
slots:
  banner:
    kind: block
    policies: [loyal]
    default: { block: plain }
    shared: { segments: [loyal_customer], edge_seconds: 600 }
  brief:
    kind: block
    default: { block: plain }
    shared: { edge_seconds: 1, browser_seconds: 0, stale_seconds: 600 }
blocks:
  plain: { kind: message, content: { text: Hello } }
  thanks: { kind: message, content: { text: Thank you } }
policies:
  loyal: { when: primary_segment = 'loyal_customer', blocks: [thanks] }
"""
_PATIENCE_SECONDS = 60.0
# Nothing here must be whole, and nobody may wait for longer than the edge does.
_IMPATIENCE = {
    "NEARLINE_DECISION_FEATURES_SECONDS": "0.1",
    "NEARLINE_DECISION_RANKING_SECONDS": "0.1",
    "NEARLINE_LOG_TIMEOUT_SECONDS": "0.3",
}


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningCollector, RunningCollector]]:
    """Two services of one installation."""
    home = tmp_path_factory.mktemp("edge") / "home"
    (home / "policies").mkdir(parents=True)
    (home / "policies" / "page.yml").write_text(PAGE)
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(running_decisions(home, **_IMPATIENCE))
            for _ in range(2)
        )
        yield first, second


@pytest.fixture
def edge(
    tmp_path: Path, services: tuple[RunningCollector, RunningCollector]
) -> Iterator[Nginx]:
    for service in services:
        service.restart_if_ended()
    ports = (services[0].port, services[1].port)
    with running_nginx(tmp_path / "nginx", ports) as server:
        yield server


def get(edge: Nginx, path: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.get(f"{edge.url}{path}", headers=named, timeout=30)


def cache_said(response: httpx.Response) -> str:
    assert response.status_code in (200, 304), response.text
    return response.headers["X-Cache"]


def has_decided(service: RunningCollector) -> bool:
    """Whether it answered a decision since it was started."""
    return "nearline_decisions_total{" in httpx.get(f"{service.url}/metrics").text


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_variant_is_asked_for_once_and_then_kept(edge: Nginx) -> None:
    path = "/v1/variants/banner?segment=loyal_customer"
    first, second = get(edge, path), get(edge, path)
    assert (cache_said(first), cache_said(second)) == ("MISS", "HIT")
    assert second.content == first.content
    assert second.headers["ETag"] == first.headers["ETag"]
    assert b"Thank you" in second.content
    # Whoever has it is told so by the edge alone.
    same = get(edge, path, If_None_Match=first.headers["ETag"])
    assert (same.status_code, cache_said(same), same.content) == (304, "HIT", b"")


def test_the_cookies_segment_is_the_key_and_no_other_cookie_is(edge: Nginx) -> None:
    path = "/v1/variants/banner"
    asked = [
        ("", "MISS", "Hello"),
        ("nl_segment=loyal_customer; session=a", "MISS", "Thank you"),
        ("nl_segment=loyal_customer; session=b", "HIT", "Thank you"),
        ("session=c", "HIT", "Hello"),
        # Not a name: the same as nobody.
        ("nl_segment=Loyal%20Customer", "HIT", "Hello"),
    ]
    for cookie, said, text in asked:
        response = get(edge, path, Cookie=cookie)
        assert (cache_said(response), text in response.text) == (said, True), cookie
        assert response.headers["Cache-Control"].startswith("public, max-age=0,")
    # What a visitor puts into the edge's own header is not what the edge says.
    forged = get(edge, path, X_Nearline_Segment="loyal_customer")
    assert "Hello" in forged.text


def test_what_is_old_is_revalidated_and_not_sent_again(edge: Nginx) -> None:
    path = "/v1/variants/brief"
    first = get(edge, path)
    seen = set()

    def is_revalidated() -> bool:
        response = get(edge, path)
        seen.add(cache_said(response))
        assert response.content == first.content
        time.sleep(2.1)  # past its second, and past the one while it is looked after
        return "REVALIDATED" in seen

    until(is_revalidated)
    assert seen <= {"HIT", "UPDATING", "STALE", "REVALIDATED"}


def test_while_the_services_are_away_the_edge_answers_with_what_it_has(
    edge: Nginx, services: tuple[RunningCollector, RunningCollector]
) -> None:
    path = "/v1/variants/brief"
    first = get(edge, path)
    for service in services:
        service.stop()
    try:
        time.sleep(2.1)
        for _ in range(3):
            response = get(edge, path)
            assert cache_said(response) == "STALE"
            assert response.content == first.content
        # Of what is one visitor's there is nothing to give.
        body = {"visitor": VISITOR, "slots": ["banner"]}
        private = httpx.post(f"{edge.url}/v1/decide", json=body, headers=KEY)
        assert private.status_code == 502
    finally:
        for service in services:
            service.start()
    # Said to be down for two seconds by the edge.
    until(lambda: get(edge, path).headers["X-Cache"] in ("REVALIDATED", "HIT"))


def test_a_log_that_is_away_does_not_take_decisions_with_it(
    edge: Nginx, services: tuple[RunningCollector, RunningCollector]
) -> None:
    outcome = {"decision_id": "d_1", "kind": "click", "event_id": "r_late"}
    bodies: dict[str, dict[str, Any]] = {
        "/v1/outcomes": {"outcomes": [outcome]},
        "/v1/decide": {"slots": ["banner"]},
    }

    def status(path: str) -> int:
        body = {"visitor": VISITOR, "context": CONTEXT, **bodies[path]}
        url = f"{edge.url}{path}"
        return httpx.post(url, json=body, headers=KEY, timeout=30).status_code

    until(lambda: status("/v1/outcomes") == 200)
    place = services[0].home / "log" / "events.sqlite"
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("begin immediate")
        for _ in range(4):
            assert status("/v1/outcomes") == 503
            assert status("/v1/decide") == 200
    assert status("/v1/outcomes") == 200


PRIVATE: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/decide", {"slots": ["banner"], "context": CONTEXT}),
    ("POST", "/v1/variants", {"slots": ["banner"], "context": CONTEXT}),
    ("POST", "/v1/recommend", {"context": CONTEXT}),
    ("POST", "/v1/score", {"context": CONTEXT}),
    ("POST", "/v1/outcomes", {"outcomes": [{"decision_id": "d", "kind": "a"}]}),
    ("GET", f"/v1/segments/{VISITOR}", None),
    ("GET", "/v1/variants/nowhere", None),
    ("GET", "/v1/variants/banner?visitor=a", None),
    ("GET", "/metrics", None),
    ("GET", "/readyz", None),
)


@pytest.mark.parametrize(("method", "path", "body"), PRIVATE)
def test_even_an_edge_that_keeps_all_it_may_keeps_nothing_private(
    edge: Nginx, method: str, path: str, body: Any
) -> None:
    content = body and {"visitor": VISITOR, **body}
    for _ in range(3):
        response = httpx.request(
            method,
            f"{edge.careless_url}{path}",
            json=content,
            headers=KEY,
            timeout=30,
        )
        assert response.status_code in (200, 400, 404)
        assert response.headers["X-Cache"] == "MISS"


@pytest.mark.parametrize(("method", "path", "body"), PRIVATE)
def test_what_is_private_passes_the_edge_to_a_service_each_time(
    edge: Nginx, method: str, path: str, body: Any
) -> None:
    content = body and {"visitor": VISITOR, **body}
    straight, passed = (
        httpx.request(method, f"{url}{path}", json=content, headers=KEY, timeout=30)
        for url in (edge.upstream_url, edge.url)
    )
    assert passed.status_code == straight.status_code
    assert passed.headers["Content-Type"] == straight.headers["Content-Type"]
    # `nowhere` is asked for where variants are kept, and is not.
    assert passed.headers.get("X-Cache") in (None, "MISS")


def test_that_edge_would_keep_what_may_be(edge: Nginx) -> None:
    url = f"{edge.careless_url}/v1/variants/banner?segment=loyal_customer"
    said = [httpx.get(url, timeout=30).headers["X-Cache"] for _ in range(2)]
    assert said == ["MISS", "HIT"]


def test_a_restart_of_one_after_the_other_drops_no_request(
    edge: Nginx, services: tuple[RunningCollector, RunningCollector]
) -> None:
    client = subprocess.Popen(
        [sys.executable, "-m", "tests.asking_client", edge.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "asking\n"
    for service in services:
        assert service.stop() == 0, service.output()
        service.start()
        # The edge takes it for down for two seconds or three, and tries it again.
        until(lambda service=service: has_decided(service))
    told, _ = client.communicate("")
    counts = json.loads(told)
    assert {key.rsplit(" ", 1)[1] for key in counts} == {"200"}, (
        counts,
        edge.errors(),
    )
    assert min(counts.values()) > 10
    # What was acknowledged is there; sent twice, it would count as once.
    kept = {one for one in services[0].event_ids() if one.startswith("r_asked_")}
    assert len(kept) == counts["POST /v1/outcomes 200"]

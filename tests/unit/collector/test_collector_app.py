"""Requests and their answers, with a real log behind."""

import base64
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nearline.collector.config import CollectorConfig, Source
from nearline.experiments.browser import ASSIGNMENT
from nearline.settings import Settings
from nearline.tracker import TRACKER
from tests.unit.collector.receiving import Collector
from tests.unit.collector.sent_events import BROWSER, sent_event

ORIGIN = "https://shop.example"
MESSAGE = {
    "messageId": "m-1",
    "anonymousId": "a-0000-1",
    "event": "Product Viewed",
    "properties": {"product_id": "p1"},
    "timestamp": "2026-03-02T11:59:59Z",
    "context": {"consent": {"categoryPreferences": {"Analytics": True}}},
}


class TestEvents:
    def test_one_event(self, collector: Collector) -> None:
        response = collector.post(sent_event())
        assert response.status_code == 200
        assert response.json() == {
            "accepted": 1,
            "duplicate": 0,
            "rejected": 0,
            "results": [{"event_id": "e_1", "status": "accepted"}],
        }
        assert [event["event_id"] for event in collector.topic("events")] == ["e_1"]

    def test_a_batch_is_judged_event_by_event(self, collector: Collector) -> None:
        batch = {
            "write_key": "web_key",
            "sent_at": "2026-03-02T12:00:00Z",
            "events": [
                sent_event(event_id="a"),
                sent_event(event_id="b", event_name="No Name"),
                sent_event(event_id="a"),
                "nonsense",
                sent_event(event_id="c", consent_analytics=False),
            ],
        }
        answer = collector.post(batch, key=None, content_type="text/plain").json()
        assert (answer["accepted"], answer["duplicate"], answer["rejected"]) == (
            1,
            1,
            3,
        )
        assert [
            (result["event_id"], result["status"], result.get("field"))
            for result in answer["results"]
        ] == [
            ("a", "accepted", None),
            ("b", "rejected", "event_name"),
            ("a", "duplicate", None),
            (None, "rejected", "(event)"),
            ("c", "rejected", "consent_analytics"),
        ]
        assert len(collector.topic("events")) == 1
        assert [letter["field"] for letter in collector.topic("deadletters")] == [
            "event_name",
            "(event)",
            "consent_analytics",
        ]

    def test_a_bare_list_is_a_batch(self, collector: Collector) -> None:
        events = [sent_event(event_id="a"), sent_event(event_id="b")]
        assert collector.post(events).json()["accepted"] == 2

    def test_an_empty_batch_is_no_mistake(self, collector: Collector) -> None:
        assert collector.post({"events": []}).json()["accepted"] == 0

    def test_sent_again_it_is_a_duplicate_and_not_kept_twice(
        self, collector: Collector
    ) -> None:
        for status in ("accepted", "duplicate"):
            answer = collector.post([sent_event(), sent_event(event_name="Bad")])
            assert answer.json()["results"][0]["status"] == status
        assert len(collector.topic("events")) == 1
        assert len(collector.topic("deadletters")) == 1

    def test_after_a_restart_it_still_is_a_duplicate(self, settings: Settings) -> None:
        with Collector(settings) as before:
            before.post(sent_event())
        with Collector(settings) as after:
            assert after.post(sent_event()).json()["duplicate"] == 1

    def test_two_sources_may_use_the_same_id(self, collector: Collector) -> None:
        assert collector.post(sent_event()).json()["accepted"] == 1
        assert collector.post(sent_event(), key="server_key").json()["accepted"] == 1

    def test_gzip(self, collector: Collector) -> None:
        body = gzip.compress(json.dumps(sent_event()).encode())
        response = collector.post(body, content_encoding="gzip")
        assert response.json()["accepted"] == 1

    def test_the_key_may_be_in_the_address(self, collector: Collector) -> None:
        response = collector.post(sent_event(), "/v1/events?key=web_key", key=None)
        assert response.json()["accepted"] == 1


class TestRefusedRequests:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"nonsense",
            b'{"event_id": NaN}',
            b'{"event_id": 1e999}',
            b'"\\ud800"',
            b'{"a": "\xff\xfe"}',
            '{"a": 1}'.encode("utf-16"),
            b"[" * 100_000,
            b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
            b"5",
            b'"text"',
            b"null",
            b'{"events": {}}',
            b'{"events": null}',
        ],
    )
    def test_what_is_no_batch_is_400(self, collector: Collector, body: bytes) -> None:
        response = collector.post(body)
        assert response.status_code == 400
        assert set(response.json()) == {"error", "field", "fix"}

    @pytest.mark.parametrize(
        "body",
        [b"", b"no gzip", gzip.compress(b"{}")[:-4], gzip.compress(b"{}") + b"junk"],
        ids=["empty", "no gzip", "cut", "more than one"],
    )
    def test_broken_gzip_is_400(self, collector: Collector, body: bytes) -> None:
        assert collector.post(body, content_encoding="gzip").status_code == 400

    @pytest.mark.parametrize("key", [None, "unknown", "web_key ", ""])
    def test_an_unknown_key_is_401(self, collector: Collector, key: str | None) -> None:
        assert collector.post(sent_event(), key=key).status_code == 401

    @pytest.mark.parametrize("key", [5, None, [], {"a": 1}, True])
    def test_a_key_that_is_no_text_is_401(self, collector: Collector, key: Any) -> None:
        body = {"write_key": key, "events": []}
        assert collector.post(body, key=None).status_code == 401

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", ORIGIN + ":1"])
    def test_another_origin_is_403(self, collector: Collector, origin: str) -> None:
        response = collector.post(sent_event(), origin=origin)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers

    def test_a_servers_key_in_a_browser_is_403(self, collector: Collector) -> None:
        response = collector.post(sent_event(), key="server_key", origin=ORIGIN)
        assert response.status_code == 403

    def test_a_body_that_is_too_large_is_413(self, collector: Collector) -> None:
        assert collector.post(b"[" + b" " * 1_000_000 + b"]").status_code == 413

    def test_a_bomb_of_gzip_is_413(self, collector: Collector) -> None:
        bomb = gzip.compress(bytes(200_000_000))
        assert len(bomb) < 1_000_000
        assert collector.post(bomb, content_encoding="gzip").status_code == 413

    def test_too_many_events_are_413_and_none_is_kept(
        self, collector: Collector
    ) -> None:
        events = [sent_event(event_id=f"e_{n}") for n in range(501)]
        assert collector.post(events).status_code == 413
        assert collector.topic("events") == []

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("content_type", "application/xml"),
            ("content_type", "multipart/form-data"),
            ("content_encoding", "br"),
        ],
    )
    def test_another_kind_of_body_is_415(
        self, collector: Collector, name: str, value: str
    ) -> None:
        assert collector.post(sent_event(), **{name: value}).status_code == 415

    def test_too_many_events_a_second_are_429_until_later(
        self, settings: Settings
    ) -> None:
        slow = BROWSER.model_copy(update={"events_per_second": 1, "burst_events": 2})
        with Collector(settings, CollectorConfig(sources=(slow,))) as collector:
            assert collector.post([sent_event(event_id="a")] * 2).status_code == 200
            response = collector.post([sent_event(event_id="b")] * 2, origin=ORIGIN)
        assert response.status_code == 429
        assert response.headers["retry-after"] == "2"
        assert response.headers["access-control-expose-headers"] == "Retry-After"

    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "/nowhere", 404),
            ("POST", "/nowhere", 404),
            ("GET", "/v1/events", 405),
            ("PUT", "/v1/events", 405),
            ("DELETE", "/healthz", 405),
            ("GET", "/v1/schemas/9.9.json", 404),
            ("GET", "/v1/schemas/..%2f..%2fcontract.json", 404),
            ("GET", "/v1/schemas/.json", 404),
        ],
    )
    def test_other_paths_and_methods_are_told_in_the_same_shape(
        self, collector: Collector, method: str, path: str, status: int
    ) -> None:
        response = collector.request(method, path)
        assert response.status_code == status
        assert set(response.json()) == {"error", "field", "fix"}

    def test_no_answer_repeats_what_was_sent(self, collector: Collector) -> None:
        secret = "anna.secret@example.org"
        bodies: list[Any] = [
            sent_event(**{secret: 1}),
            sent_event(event_id=secret),
            sent_event(event_name=secret),
            sent_event(schema_version=secret),
            {"write_key": secret, "events": [secret]},
            {"events": secret},
            f'{{"{secret}'.encode(),
            {"sent_at": secret, "events": [sent_event()]},
        ]
        for body in bodies:
            for key in ("web_key", None, secret):
                assert secret not in collector.post(body, key=key).text
        assert secret not in collector.get(f"/v1/{secret}").text


class TestLogAway:
    def test_it_answers_503_and_takes_the_same_events_later(
        self, collector: Collector
    ) -> None:
        collector.post(sent_event(event_id="before"))
        other = sqlite3.connect(collector.settings.log / "events.sqlite")
        other.execute("begin immediate")
        response = collector.post(sent_event(event_id="during"), origin=ORIGIN)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert collector.get("/readyz").status_code == 503
        assert collector.get("/healthz").status_code == 200
        other.rollback()
        other.close()
        answer = collector.post(sent_event(event_id="during")).json()
        assert answer["results"] == [{"event_id": "during", "status": "accepted"}]
        assert collector.get("/readyz").status_code == 200

    def test_it_starts_without_its_log_and_uses_it_when_it_is_there(
        self, settings: Settings
    ) -> None:
        settings.home.mkdir()
        # A file where the folder should be.
        settings.log.write_text("")
        with Collector(settings) as collector:
            assert collector.post(sent_event()).status_code == 503
            settings.log.unlink()
            assert collector.post(sent_event()).json()["accepted"] == 1

    def test_where_dead_letters_cannot_be_kept_nothing_is_acknowledged(
        self, settings: Settings
    ) -> None:
        settings.log.mkdir(parents=True)
        (settings.log / "deadletters.sqlite").mkdir()
        batch = [sent_event(), sent_event(event_id="bad", event_name="Bad")]
        with Collector(settings) as collector:
            assert collector.post(batch).status_code == 503
            (settings.log / "deadletters.sqlite").rmdir()
            answer = collector.post(batch).json()
            assert (answer["accepted"], answer["rejected"]) == (1, 1)
            assert len(collector.topic("events")) == 1


class TestCors:
    def test_a_page_of_the_keys_origin_may_read_the_answer(
        self, collector: Collector
    ) -> None:
        response = collector.post(sent_event(), origin=ORIGIN)
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["vary"] == "Origin"

    def test_a_preflight_is_answered_for_every_origin_that_some_key_allows(
        self, collector: Collector
    ) -> None:
        for path in ("/v1/events", "/v1/segment/track", "/v1/segment/v1/batch"):
            response = collector.request("OPTIONS", path, headers={"Origin": ORIGIN})
            assert response.status_code == 204
            assert response.headers["access-control-allow-origin"] == ORIGIN
            assert "x-nearline-key" in response.headers["access-control-allow-headers"]
        headers = {"Origin": "https://evil.example"}
        response = collector.request("OPTIONS", "/v1/events", headers=headers)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


class TestSegment:
    @pytest.mark.parametrize("prefix", ["/v1/segment", "/v1/segment/v1"])
    def test_a_call_with_the_key_as_user_name(
        self, collector: Collector, prefix: str
    ) -> None:
        basic = base64.b64encode(b"web_key:").decode()
        response = collector.post(
            MESSAGE, f"{prefix}/track", key=None, authorization=f"Basic {basic}"
        )
        assert response.json() == {
            "success": True,
            "accepted": 1,
            "duplicate": 0,
            "rejected": 0,
        }
        assert collector.topic("events")[0]["event_name"] == "view_item"

    def test_a_batch_with_the_key_inside(self, collector: Collector) -> None:
        messages = [
            {**MESSAGE, "type": "track"},
            {"type": "group", "groupId": "g", "messageId": "m-2"},
            {**MESSAGE, "messageId": "m-3", "context": {}, "type": "track"},
        ]
        body = {"writeKey": "web_key", "batch": messages}
        answer = collector.post(body, "/v1/segment/batch", key=None).json()
        assert (answer["success"], answer["accepted"], answer["rejected"]) == (
            True,
            1,
            2,
        )
        letters = collector.topic("deadletters")
        assert [letter["input"] for letter in letters] == ["segment", "segment"]

    @pytest.mark.parametrize(
        "authorization",
        ["Basic", "Basic !", "Basic /w==", "Bearer x", "Basic dW5rbm93bjo="],
    )
    def test_another_authorization_is_401(
        self, collector: Collector, authorization: str
    ) -> None:
        response = collector.post(
            MESSAGE, "/v1/segment/track", key=None, authorization=authorization
        )
        assert response.status_code == 401

    @pytest.mark.parametrize("body", [[], {"batch": 5}, {"batch": None}, 5, {}])
    def test_a_batch_that_is_none_is_400(self, collector: Collector, body: Any) -> None:
        assert collector.post(body, "/v1/segment/batch").status_code == 400


class TestReading:
    def test_the_tracker_is_cached_by_its_content(self, collector: Collector) -> None:
        response = collector.get("/v1/tracker.js")
        assert response.content == TRACKER.content
        assert response.headers["content-encoding"] == "gzip"
        assert response.headers["content-type"].startswith("text/javascript")
        assert "max-age" in response.headers["cache-control"]
        plain = collector.request(
            "GET", "/v1/tracker.js", headers={"Accept-Encoding": "identity"}
        )
        assert "content-encoding" not in plain.headers
        again = collector.request(
            "GET", "/v1/tracker.js", headers={"If-None-Match": TRACKER.etag}
        )
        assert (again.status_code, again.content) == (304, b"")

    def test_pages_that_assign_themselves_get_the_script_for_it(
        self, collector: Collector
    ) -> None:
        response = collector.get("/v1/assignment.js")
        assert response.content == ASSIGNMENT.content
        assert response.headers["content-type"].startswith("text/javascript")

    def test_every_version_of_the_contract_is_published(
        self, collector: Collector
    ) -> None:
        for version in ("1.0", "1.1"):
            schema = collector.get(f"/v1/schemas/{version}.json").json()
            assert schema["$id"] == f"urn:nearline:event:{version}"

    def test_the_documentation_needs_no_other_host(self, collector: Collector) -> None:
        page = collector.get("/docs").text
        assert "https://" not in page
        paths = collector.get("/openapi.json").json()["paths"]
        assert "/v1/events" in paths
        assert set(paths["/v1/events"]["post"]["responses"]) == {
            "200", "400", "401", "403", "413", "415", "429", "503",
        }  # fmt: skip

    def test_numbers_tell_what_became_of_events(self, collector: Collector) -> None:
        collector.post([sent_event(), sent_event(), sent_event(event_name="Bad")])
        collector.post([sent_event(event_id="x", a_name_of_mine=1)])
        text = collector.get("/metrics").text
        for line in (
            'nearline_collector_events_total{source="web",status="accepted"} 1.0',
            'nearline_collector_events_total{source="web",status="duplicate"} 1.0',
            'nearline_collector_events_total{source="web",status="rejected"} 2.0',
            'nearline_collector_refusals_total{field="event_name",source="web"} 1.0',
            'nearline_collector_refusals_total{field="(unknown field)",source="web"} 1.0',
            'nearline_collector_requests_total{path="/v1/events",status="200"} 2.0',
        ):
            assert line in text

    @pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/metrics"])
    def test_monitors_may_ask_for_the_head_alone(
        self, collector: Collector, path: str
    ) -> None:
        assert collector.request("HEAD", path).status_code == 200


def test_what_is_in_memory_is_marked_only_when_it_is_durable(
    settings: Settings, tmp_path: Path
) -> None:
    settings.home.mkdir()
    settings.log.write_text("")
    source = Source(write_key="web_key", source="web", requires_consent=False)
    with Collector(settings, CollectorConfig(sources=(source,))) as collector:
        for _ in range(2):
            assert collector.post(sent_event()).status_code == 503
        settings.log.unlink()
        assert collector.post(sent_event()).json()["accepted"] == 1

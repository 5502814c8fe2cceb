"""A shop's web server, a collector and decisions in one: real HTTP for our scripts' tests.

It serves the pages that a test gives it and the scripts themselves, keeps what is posted to
`/v1/events` and `/v1/decide`, and can be told to refuse. It checks nothing: that is the
collector's work.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from nearline.browser_script import BrowserScript
from nearline.decisions.browser import SLOTS
from nearline.tracker import TRACKER

_SCRIPTS: dict[str, BrowserScript] = {
    "/v1/tracker.js": TRACKER,
    "/v1/slots.js": SLOTS,
}

_RESPONSE_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
    "Cache-Control": "no-store",
}


@dataclass
class Receiver:
    """What was received, in order, and how the next batch is answered."""

    url: str = ""
    pages: dict[str, str] = field(default_factory=dict)
    page_headers: dict[str, str] = field(default_factory=dict)
    batches: list[dict[str, Any]] = field(default_factory=list)
    """Batches that were taken: answered with 200."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    retry_after: str | None = None
    hold: threading.Event | None = None
    """Set: an answer waits until the event is."""
    slots: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What `/v1/decide` answers of each slot."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    decide_status: int = 200
    decide_hold: threading.Event | None = None
    posting: int = 0
    most_posting: int = 0
    _arrival: threading.Condition = field(default_factory=threading.Condition)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Distinct events by event_id, as the collector would keep them."""
        with self._arrival:
            every = [event for batch in self.batches for event in batch["events"]]
        return list({event["event_id"]: event for event in reversed(every)}.values())[
            ::-1
        ]

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("event_name") == name]

    def wait_for(self, name: str, count: int = 1, seconds: float = 20) -> list[Any]:
        """The events of that name once there are `count`; fails after `seconds`."""
        with self._arrival:
            arrived = self._arrival.wait_for(
                lambda: len(self.named(name)) >= count, seconds
            )
        names = [event.get("event_name") for event in self.events]
        assert arrived, f"no {count} {name} within {seconds} s, but {Counter(names)}"
        return self.named(name)

    def wait_for_refusals(self, count: int, seconds: float = 20) -> None:
        with self._arrival:
            arrived = self._arrival.wait_for(
                lambda: len(self.refused) >= count, seconds
            )
        assert arrived, f"{len(self.refused)} refusals instead of {count}"

    def take(self, batch: dict[str, Any]) -> None:
        with self._arrival:
            (self.batches if self.status == 200 else self.refused).append(batch)
            self._arrival.notify_all()

    def count_posting(self, step: int) -> None:
        with self._arrival:
            self.posting += step
            self.most_posting = max(self.most_posting, self.posting)
            self._arrival.notify_all()

    def wait_for_posting(self, seconds: float = 20) -> None:
        with self._arrival:
            assert self._arrival.wait_for(lambda: self.posting > 0, seconds)


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver on a free port of this machine, until the block ends."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path in _SCRIPTS:
                self._answer(200, "text/javascript", _SCRIPTS[path].content, {})
            elif path in receiver.pages:
                body = receiver.pages[path].encode()
                kind = "text/css" if path.endswith(".css") else "text/html"
                self._answer(200, kind, body, receiver.page_headers)
            else:
                self._answer(404, "text/plain", b"", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if urlsplit(self.path).path == "/v1/decide":
                self._decide(json.loads(body))
                return
            receiver.count_posting(1)
            try:
                if receiver.hold:
                    receiver.hold.wait(30)
                headers = (
                    {"Retry-After": receiver.retry_after}
                    if receiver.retry_after
                    else {}
                )
                status = receiver.status
                receiver.take(json.loads(body))
                self._answer(status, "application/json", b"{}", headers)
            finally:
                receiver.count_posting(-1)

        def _decide(self, question: dict[str, Any]) -> None:
            receiver.asked.append(question)
            if receiver.decide_hold:
                receiver.decide_hold.wait(30)
            answer = {
                "slots": {name: receiver.slots[name] for name in question["slots"]},
                "versions": {},
                "freshness": {"feature_age_seconds": 1.5, "recommender_as_of": None},
                "latency_ms": 2.5,
            }
            content = json.dumps(answer).encode()
            self._answer(receiver.decide_status, "application/json", content, {})

        def _answer(
            self, status: int, kind: str, body: bytes, headers: dict[str, str]
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            for name, value in {**_RESPONSE_HEADERS, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            # A page that was closed no longer listens.
            try:
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            # A browser that is closed breaks its connections off.
            pass

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()

"""A webhook's receiver as it should be: real HTTP, signatures checked, keys counted once."""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = b"of both sides"


@dataclass
class Crm:
    """A receiver that does what a receiver should, and fails when it is told to."""

    url: str = ""
    answers: list[int | str] = field(default_factory=list)
    """How the next requests are answered, before all goes well: a status, `hang up`
    before or `lose` after the batch was taken."""
    retry_after: str | None = None
    requests: list[dict[str, str]] = field(default_factory=list)
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By idempotency key."""
    taken_at: dict[str, float] = field(default_factory=dict)
    """When each was taken first, by `time.monotonic`."""

    def people(self) -> list[str]:
        return [
            m["person_id"] for batch in self.taken.values() for m in batch["members"]
        ]


@contextmanager
def running_crm() -> Iterator[Crm]:
    crm = Crm()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            crm.requests.append(dict(self.headers))
            moment, _, given = self.headers["Nearline-Signature"].partition(",v1=")
            wanted = hmac.new(SECRET, moment[2:].encode() + b"." + body, hashlib.sha256)
            answer = crm.answers.pop(0) if crm.answers else 200
            if given != wanted.hexdigest():
                answer = 401
            if answer in (200, "lose"):
                key = self.headers["Idempotency-Key"]
                crm.taken_at.setdefault(key, time.monotonic())
                crm.taken[key] = json.loads(body)
            if isinstance(answer, str):
                self.close_connection = True
                return
            self.send_response(answer)
            if crm.retry_after is not None:
                self.send_header("Retry-After", crm.retry_after)
            if answer == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        # Of the five that it is otherwise, others wait a second each.
        request_queue_size = 128
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        crm.url = f"http://127.0.0.1:{server.server_port}/audience"
        yield crm
        server.shutdown()

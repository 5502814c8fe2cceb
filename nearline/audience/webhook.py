"""An audience over HTTP: signed batches, each sent until it is taken.

Belongs here: bodies, signatures, retries. Not here: who is in the audience (`members`).
A batch that failed half-way is sent again with the same key, so the receiver counts it
once; every batch says how many there are, so a receiver knows when it has all.
"""

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from nearline.audience.members import Audience
from nearline.errors import InputError, NearlineError

BATCH_SIZE = 1_000
MOST_ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.5
MOST_PAUSE_SECONDS = 30.0
TIMEOUT_SECONDS = 20.0
SIGNATURE_HEADER = "Nearline-Signature"
KEY_HEADER = "Idempotency-Key"

# Too early, too many, and whatever is the server's own trouble may go well next time.
_PASSING = frozenset({408, 425, 429})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Batch:
    """One request. The key is of its content: sent again, also by another run of the
    same release, it is the same."""

    body: bytes
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, None where nothing did, and the seconds that it asks
    to wait."""

    status: int | None
    retry_after: float = 0.0

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether the same request may go well later."""
        return self.status is None or self.status in _PASSING or self.status >= 500

    @property
    def problem(self) -> str:
        if self.status is None:
            return "could not be reached"
        return f"answered {self.status}"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to, and how time is measured and spent.

    `clock` gives seconds since 1970, `pause` waits for some.
    """

    url: str
    secret: bytes
    clock: Callable[[], float]
    pause: Callable[[float], None]


def check_url(url: str) -> None:
    """Refuses what is no HTTP address, and plain HTTP to another machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https"):
        raise InputError(
            "--url must be an address such as https://crm.example/audience"
        )
    if parts.username is not None or parts.password is not None:
        raise InputError("--url must hold no user or password; batches are signed")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise InputError("--url must be https unless it is of this machine")


def signature(secret: bytes, timestamp: int, body: bytes) -> str:
    """`t=<seconds>,v1=<hex>`: HMAC-SHA256 of the seconds, a dot and the body."""
    signed = hmac.new(secret, f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={signed.hexdigest()}"


def batches(audience: Audience, size: int = BATCH_SIZE) -> list[Batch]:
    """The requests of an audience; one without members says that there are none."""
    rows = audience.members.to_pylist()
    parts = [rows[start : start + size] for start in range(0, len(rows), size)] or [[]]
    found = []
    for number, part in enumerate(parts, start=1):
        content: Mapping[str, Any] = {
            "segment": audience.segment,
            "purpose": audience.purpose,
            "release_id": audience.release_id,
            "batch": number,
            "batch_count": len(parts),
            "member_count": len(rows),
            "members": [
                row | {"member_since": f"{row['member_since'].isoformat()}Z"}
                for row in part
            ],
        }
        body = json.dumps(content, separators=(",", ":")).encode()
        found.append(Batch(body, hashlib.sha256(body).hexdigest()))
    return found


def send(
    webhook: Webhook,
    requests: list[Batch],
    on_batch: Callable[[], None] = lambda: None,
) -> None:
    """Sends all batches, one after the other, each until it is taken.

    Raises:
        NearlineError: a batch was refused, or not taken in `MOST_ATTEMPTS`; it says how
            many were taken before, which sending all again does not change.
    """
    for number, batch in enumerate(requests):
        problem = _deliver(webhook, batch)
        if problem is not None:
            raise NearlineError(
                f"the webhook took {number} of {len(requests)} batches, then {problem}; "
                "the audience there is incomplete. Run the export again: batches keep "
                "their keys, so none counts twice"
            )
        on_batch()


def _deliver(webhook: Webhook, batch: Batch) -> str | None:
    """Why the batch was not taken; None where it was."""
    problem = ""
    pause = FIRST_PAUSE_SECONDS
    for attempt in range(MOST_ATTEMPTS):
        if attempt:
            webhook.pause(pause)
            pause = min(2 * pause, MOST_PAUSE_SECONDS)
        answer = post(webhook, batch)
        if answer.is_taken:
            return None
        if not answer.may_pass:
            return f"refused one with {answer.status}"
        problem = answer.problem
        pause = max(pause, min(answer.retry_after, MOST_PAUSE_SECONDS))
    return f"{problem} {MOST_ATTEMPTS} times"


def post(webhook: Webhook, batch: Batch) -> Answer:
    """Sends a batch once."""
    request = urllib.request.Request(
        webhook.url,
        data=batch.body,
        headers={
            "Content-Type": "application/json",
            "User-Agent": "nearline",
            KEY_HEADER: batch.key,
            SIGNATURE_HEADER: signature(
                webhook.secret, int(webhook.clock()), batch.body
            ),
        },
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            answer.read(1)
            return Answer(int(answer.status))
    except urllib.error.HTTPError as answer:
        return Answer(answer.code, _seconds(answer.headers.get("Retry-After")))
    except (OSError, http.client.HTTPException):
        return Answer(None)


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isdecimal() else 0.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Members go where the operator said, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None

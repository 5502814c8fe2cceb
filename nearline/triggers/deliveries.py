"""Gets messages out: claimed, checked once more, sent, and what became of it written down.

Belongs here: one pass over what is due. A message is `sending` while it is on its way; a
crash then leaves it so, and the next start sends it again with the same key: at least
once, and whoever goes by the key counts it once. What waits on a page is not sent
(`outbox`).
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, Protocol

from nearline.audience.webhook import Batch, Webhook, post
from nearline.errors import InputError
from nearline.privacy.suppression import suppressed_rows
from nearline.settings import Settings
from nearline.triggers.addresses import Addresses
from nearline.triggers.engine import Known, latest_said
from nearline.triggers.mail import MailError, compose, mail_server, send_mail
from nearline.triggers.messages import written
from nearline.triggers.state import Said, State, transaction

_LOGGER = logging.getLogger(__name__)

MOST_ATTEMPTS = 8
FIRST_PAUSE_MS = 10_000
MOST_PAUSE_MS = 3_600_000
MOST_AT_ONCE = 40
_THREADS = 8


class KnownPersons(Known, Protocol):
    """What the release knows, of the person's other visitors, too."""

    def said_by_person(self, visitor_id: str, purpose: str) -> Mapping[str, Said]:
        """The last words of the person's visitors that said something."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message that was claimed."""

    message_id: str
    trigger: str
    visitor_id: str
    user_id: str | None
    purpose: str
    channel: str
    content: dict[str, Any]
    fired_at: int
    expires_at: int
    attempt_count: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an attempt: `sent`, `dead`, `refused`, `expired`, or `waiting`
    for the next one, at the earliest `pause_ms` later."""

    state: str
    problem: str | None = None
    pause_ms: int = 0


def delivery_pause(attempt_count: int) -> int:
    """Milliseconds before another attempt, after so many."""
    return int(min(FIRST_PAUSE_MS * 2 ** (attempt_count - 1), MOST_PAUSE_MS))


_FIELDS = tuple(field.name for field in fields(Outgoing))
_COLUMNS = ["trigger_name" if name == "trigger" else name for name in _FIELDS]


class Deliverer:
    """Sends what is due. One at a time in a home, by one thread."""

    def __init__(
        self,
        settings: Settings,
        connection: sqlite3.Connection,
        clock: Callable[[], float],
    ) -> None:
        """
        Args:
            clock: seconds since 1970.
        """
        self._settings = settings
        self._connection = connection
        self._state = State(connection)
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, "deliveries")
        path = settings.trigger_addresses
        self._addresses = None if path is None else Addresses(path)

    def close(self) -> None:
        self._pool.shutdown()

    def recover(self) -> int:
        """Takes up again what was on its way when the last one ended."""
        with transaction(self._connection):
            return self._connection.execute(
                "update outbox set state = 'waiting' where state = 'sending'"
            ).rowcount

    def deliver(self, known: KnownPersons) -> int:
        """Sends up to `MOST_AT_ONCE` of what is due; returns how many were tried."""
        claimed = self._claim(known)
        if not claimed:
            return 0
        outcomes = list(self._pool.map(self._send, claimed))
        # Together: a commit waits for the disk longer than most receivers take.
        with transaction(self._connection):
            for message, outcome in zip(claimed, outcomes, strict=True):
                self._write(message, outcome, self._now())
        return len(claimed)

    def _now(self) -> int:
        return round(self._clock() * 1000)

    def _claim(self, known: KnownPersons) -> list[Outgoing]:
        """Messages that are due and may go out; those that may not are settled."""
        now = self._now()
        rows = self._connection.execute(
            f"select {', '.join(_COLUMNS)} from outbox "
            "where state = 'waiting' and channel in ('webhook', 'email') "
            "and next_at <= ? order by next_at, message_id limit ?",
            (now, MOST_AT_ONCE),
        ).fetchall()
        if not rows:
            return []
        suppressed = {
            (row["key_type"], row["key_value"])
            for row in suppressed_rows(self._settings).to_pylist()
        }
        # Judged before the file is locked: the release is read for it.
        judged = []
        for row in rows:
            values = dict(zip(_FIELDS, row, strict=True))
            message = Outgoing(**{**values, "content": json.loads(values["content"])})
            judged.append((message, self._why_not(message, known, suppressed, now)))
        claimed = []
        with transaction(self._connection):
            for message, outcome in judged:
                is_ours = self._connection.execute(
                    "update outbox set state = 'sending', "
                    "attempt_count = attempt_count + ? "
                    "where message_id = ? and state = 'waiting'",
                    (int(outcome is None), message.message_id),
                ).rowcount
                # Else it was withdrawn meanwhile.
                if is_ours and outcome is None:
                    claimed.append(message)
                elif is_ours and outcome is not None:
                    self._write(message, outcome, now)
        return claimed

    def _why_not(
        self,
        message: Outgoing,
        known: KnownPersons,
        suppressed: set[tuple[str, str]],
        now: int,
    ) -> Outcome | None:
        if message.expires_at <= now:
            return Outcome("expired")
        if {("visitor", message.visitor_id), ("user", message.user_id)} & suppressed:
            return Outcome("refused", "suppressed")
        for purpose in {"personalization", message.purpose}:
            if not self._has_consent(message, known, purpose):
                return Outcome("refused", f"no consent to {purpose}")
        return None

    def _has_consent(
        self, message: Outgoing, known: KnownPersons, purpose: str
    ) -> bool:
        """The visitor said yes, and no device of the person or account said no to what
        reaches them all."""
        said = latest_said(self._state, known, message.visitor_id, purpose)
        if said is None or not said.is_given:
            return False
        if purpose != "marketing":
            return True
        others = set(known.said_by_person(message.visitor_id, purpose))
        if message.user_id is not None:
            others |= set(self._state.visitors_of(message.user_id))
        words = (latest_said(self._state, known, other, purpose) for other in others)
        return all(word is None or word.is_given for word in words)

    def _write(self, message: Outgoing, outcome: Outcome, now: int) -> None:
        is_done = outcome.state != "waiting"
        self._connection.execute(
            "update outbox set state = ?, problem = ?, next_at = ?, done_at = ? "
            "where message_id = ?",
            (
                outcome.state,
                outcome.problem,
                now + outcome.pause_ms,
                now if is_done else None,
                message.message_id,
            ),
        )

    def _send(self, message: Outgoing) -> Outcome:
        """Never raises: one message must not hold up the others."""
        try:
            if message.channel == "webhook":
                return self._send_webhook(message)
            return self._send_mail(message)
        except InputError as problem:
            # A setting; once mended, the message goes out.
            return _again(message, str(problem))
        except Exception as problem:
            # Its text may hold what it was about.
            _LOGGER.error("a message failed: %s", type(problem).__name__)
            return _again(message, f"failed ({type(problem).__name__})")

    def _send_webhook(self, message: Outgoing) -> Outcome:
        secret = self._settings.trigger_secret
        if secret is None or not secret.get_secret_value():
            raise InputError("NEARLINE_TRIGGER_SECRET is not set; webhooks are signed")
        body = json.dumps(
            {
                "message_id": message.message_id,
                "trigger": message.trigger,
                "trigger_version": message.content["version"],
                "visitor_id": message.visitor_id,
                "user_id": message.user_id,
                "due_at": message.content["due_at"],
                "fired_at": written(message.fired_at),
                "expires_at": written(message.expires_at),
                "data": message.content["data"],
            },
            separators=(",", ":"),
        ).encode()
        webhook = Webhook(
            message.content["url"],
            secret.get_secret_value().encode(),
            clock=self._clock,
            pause=lambda seconds: None,
        )
        answer = post(webhook, Batch(body, message.message_id))
        if answer.is_taken:
            return Outcome("sent")
        if not answer.may_pass:
            return Outcome("dead", answer.problem)
        return _again(message, answer.problem, round(answer.retry_after * 1000))

    def _send_mail(self, message: Outgoing) -> Outcome:
        server = mail_server(self._settings)
        if self._addresses is None:
            raise InputError(
                "NEARLINE_TRIGGER_ADDRESSES is not set; give a CSV of user_id,address"
            )
        if message.user_id is None:
            return Outcome("dead", "the visitor has no account")
        address = self._addresses.of(message.user_id)
        if address is None:
            return Outcome("dead", "the account has no address")
        try:
            mail = compose(
                server, address, message.message_id, message.content, message.fired_at
            )
            send_mail(server, mail)
        except MailError as problem:
            if not problem.may_pass:
                return Outcome("dead", str(problem))
            return _again(message, str(problem))
        return Outcome("sent")


def _again(message: Outgoing, problem: str, at_least_ms: int = 0) -> Outcome:
    attempts = message.attempt_count + 1
    if attempts >= MOST_ATTEMPTS:
        return Outcome("dead", f"{problem}, after {attempts} attempts")
    pause = max(delivery_pause(attempts), min(at_least_ms, MOST_PAUSE_MS))
    return Outcome("waiting", problem, pause)

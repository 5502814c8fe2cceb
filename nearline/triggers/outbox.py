"""Messages of triggers: what waits on the page for a visitor, and what became of the rest.

Belongs here: reading the outbox, and putting dead letters back. Not here: writing
messages (`engine`) and getting them out (`deliveries`). Light to import: pages are served
by who reads this.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nearline.file_stamps import FileStamp, file_stamp
from nearline.privacy.consents import Purpose
from nearline.settings import Settings
from nearline.triggers.moments import milliseconds, moment_of
from nearline.triggers.state import connect, state_path, transaction

STATES = ("waiting", "sending", "sent", "withdrawn", "refused", "expired", "dead")
"""What a message may be; docs/triggers.md says what each means."""

_PENDING = """
select message_id, trigger_name, channel, purpose, content, fired_at, expires_at
from outbox
where
    visitor_id = :visitor and channel in ('block', 'banner') and state = 'waiting'
    and expires_at > :now
    and not exists (
        select 1 from consents
        where
            consents.visitor_id = outbox.visitor_id
            and consents.purpose in ('personalization', outbox.purpose)
            and not consents.is_given
    )
    and (
        json_extract(content, '$.shows') is null
        or shown_count < json_extract(content, '$.shows')
    )
order by fired_at desc, message_id
"""


@dataclass(frozen=True, slots=True)
class PendingBlock:
    """A message that waits to be shown to a visitor; moments are of UTC, with zone.

    Whoever shows it sends an `exposure` or `slot_visible` event with
    `properties.message_id`, or with the `decision_id` of the decision that named it; a
    `response` event with either (clicked, closed) ends the message. `purpose` is what
    the visitor has to allow.
    """

    message_id: str
    trigger: str
    channel: str
    purpose: Purpose
    slot: str
    content: str
    data: Mapping[str, Any]
    fired_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message as operators see it: of whom it is, and its content, are left out."""

    message_id: str
    trigger: str
    channel: str
    state: str
    fired_at: datetime
    expires_at: datetime
    attempt_count: int
    problem: str | None


class PendingBlocks:
    """Reads pending messages of visitors; may be used from several threads.

    Somebody suppressed, or who has withdrawn consent, has none: both are looked at at
    every read.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: FileStamp | None = None
        self._list_stamp: FileStamp | None = None
        self._suppressed: frozenset[str] = frozenset()

    def close(self) -> None:
        with self._lock:
            self._close()

    def of(self, visitor_id: str, now: datetime) -> list[PendingBlock]:
        """The visitor's messages, the newest first; none where no triggers run."""
        with self._lock:
            connection = self._opened()
            if connection is None or visitor_id in self._suppressed_visitors():
                return []
            moment = milliseconds(now)
            try:
                rows = connection.execute(
                    _PENDING, {"visitor": visitor_id, "now": moment}
                ).fetchall()
            except sqlite3.Error:
                # Opened anew by the next read; who asks is told that there is trouble.
                self._close()
                raise
        found = []
        for message_id, trigger, channel, purpose, text, fired_at, expires_at in rows:
            content = json.loads(text)
            found.append(
                PendingBlock(
                    message_id=message_id,
                    trigger=trigger,
                    channel=channel,
                    purpose=purpose,
                    slot=content["slot"],
                    content=content["content"],
                    data=content["data"],
                    fired_at=moment_of(fired_at),
                    expires_at=moment_of(expires_at),
                )
            )
        return found

    def _opened(self) -> sqlite3.Connection | None:
        path = state_path(self._settings)
        # The file's size changes with every write: who it is is its inode.
        stamp = file_stamp(path)
        known = None if stamp is None else (stamp[0], 0, 0)
        if known != self._file:
            self._close()
            self._file = known
        if stamp is None:
            return None
        if self._connection is None:
            self._connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode=ro",
                uri=True,
                timeout=1,
                isolation_level=None,
                check_same_thread=False,
            )
        return self._connection

    def _suppressed_visitors(self) -> frozenset[str]:
        stamp = file_stamp(self._settings.suppression)
        if stamp != self._list_stamp:
            from nearline.privacy.suppression import suppressed_keys

            self._suppressed = frozenset(suppressed_keys(self._settings, "visitor"))
            self._list_stamp = stamp
        return self._suppressed

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def pending_blocks(
    settings: Settings, visitor: str, now: datetime
) -> list[PendingBlock]:
    """What waits to be shown to a visitor. A server holds a `PendingBlocks` instead."""
    with closing(PendingBlocks(settings)) as blocks:
        return blocks.of(visitor, now)


def read_messages(
    settings: Settings, *, state: str | None, limit: int, now: datetime
) -> list[Message]:
    """Messages, the newest first; of `state`, or of all."""
    if not state_path(settings).exists():
        return []
    with closing(connect(state_path(settings))) as connection:
        rows = connection.execute(
            f"select message_id, trigger_name, channel, {_SHOWN} as shown, fired_at, "
            "expires_at, attempt_count, problem from outbox "
            "where :state is null or shown = :state "
            "order by fired_at desc, message_id limit :limit",
            {"state": state, "limit": limit, "now": milliseconds(now)},
        ).fetchall()
    return [
        Message(
            message_id, trigger, channel, shown, moment_of(fired), moment_of(expires),
            attempts, problem,
        )
        for message_id, trigger, channel, shown, fired, expires, attempts, problem in rows
    ]  # fmt: skip


def count_messages(settings: Settings, now: datetime) -> dict[str, int]:
    """How many messages there are by state."""
    if not state_path(settings).exists():
        return {}
    with closing(connect(state_path(settings))) as connection:
        return dict(
            connection.execute(
                f"select {_SHOWN} as shown, count(*) from outbox group by shown "
                "order by shown",
                {"now": milliseconds(now)},
            )
        )


def retry_dead(settings: Settings, message_id: str | None, now: datetime) -> int:
    """Puts a dead message back, or all; returns how many. They keep their keys, and
    what has expired meanwhile is not sent."""
    if not state_path(settings).exists():
        return 0
    with closing(connect(state_path(settings))) as connection, transaction(connection):
        return connection.execute(
            "update outbox set state = 'waiting', attempt_count = 0, next_at = :now, "
            "done_at = null "
            "where state = 'dead' and (:message is null or message_id = :message)",
            {"message": message_id, "now": milliseconds(now)},
        ).rowcount


# What waits on a page ends by itself; nothing has to write that down.
_SHOWN = (
    "case when state = 'waiting' and expires_at <= :now then 'expired' else state end"
)

"""Who is one person with whom at a moment, in plain Python, from the rules of ADR 23."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Row = dict[str, Any]

MAX_VISITORS = 10
MAX_TURNS = 10


@dataclass(frozen=True)
class Unlink:
    visitor_id: str
    user_id: str
    unlinked_at: datetime


@dataclass(frozen=True)
class _Turn:
    visitor_id: str
    user_id: str
    begins_at: datetime
    ends_at: datetime | None

    def holds(self, t: datetime) -> bool:
        return self.begins_at <= t and (self.ends_at is None or t < self.ends_at)


class Persons:
    """What facts and unlinks tell of accounts and of those who take turns on them."""

    def __init__(self, facts: Sequence[Row], unlinks: Sequence[Unlink] = ()) -> None:
        self._visitors = sorted({fact["visitor_id"] for fact in facts})
        self._turns = [
            turn
            for visitor in self._visitors
            for turn in _turns(
                visitor, [f for f in facts if f["visitor_id"] == visitor], unlinks
            )
        ]

    def together(self, visitor: str, t: datetime) -> set[str]:
        """The visitors of this one's person, itself among them, as known at t."""
        account = self._account(visitor, t)
        if account is None:
            return {visitor}
        return {other for other in self._visitors if self._account(other, t) == account}

    def _account(self, visitor: str, t: datetime) -> str | None:
        for turn in self._turns:
            if turn.visitor_id == visitor and turn.holds(t):
                own = (turn.begins_at, visitor)
                later = sum(
                    own < (other.begins_at, other.visitor_id) and other.begins_at <= t
                    for other in self._turns
                    if other.user_id == turn.user_id
                )
                return turn.user_id if later < MAX_VISITORS else None
        return None


def _turns(
    visitor: str, facts: Sequence[Row], unlinks: Iterable[Unlink]
) -> Iterable[_Turn]:
    severed = {u.user_id: u.unlinked_at for u in unlinks if u.visitor_id == visitor}
    told = []
    for fact in facts:
        user, received_at = fact["user_id"], fact["received_at"]
        if user is None or received_at >= severed.get(user, datetime.max):
            continue
        occurred = (min(fact["occurred_at"], received_at), fact["event_id"])
        told.append((received_at, occurred, user))
        if user in severed:
            told.append((severed[user], (severed[user], ""), None))
    changes: list[tuple[datetime, str | None]] = []
    for moment in sorted({known_at for known_at, _, _ in told}):
        _, user = max(
            (occurred, str(user or "")) for at, occurred, user in told if at <= moment
        )
        if not changes or changes[-1][1] != (user or None):
            changes.append((moment, user or None))
    for place, (begins_at, user) in enumerate(changes[:MAX_TURNS]):
        ends_at = changes[place + 1][0] if place + 1 < len(changes) else None
        if user is not None:
            yield _Turn(visitor, user, begins_at, ends_at)

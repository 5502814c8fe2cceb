"""Frequency caps: how often something may be shown to one visitor, and what was shown.

Belongs here: the values and how they are reckoned with. Not here: where the counts are
kept (`showings`), or what is done at a cap (`deciding`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

CappedKind = Literal["slot", "policy", "block"]

MOST_SHOWS = 1_000
MOST_DAYS = 90

_UNITS: Mapping[str, timedelta] = {
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_PERIOD = re.compile(
    r"([0-9]{1,5}) *(?:(m|minutes?)|(h|hours?)|(d|days?)|(w|weeks?))", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `shows` within any time of length `per`."""

    shows: int
    per: timedelta

    def __str__(self) -> str:
        return f"{self.shows} in {_written(self.per)}"


@dataclass(frozen=True, slots=True)
class Capped:
    """A slot, policy or block with its caps. Things without any are not counted."""

    kind: CappedKind
    name: str
    caps: tuple[Cap, ...]

    @property
    def key(self) -> str:
        """What it is counted under."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True)
class Shown:
    """When things were shown to one visitor: milliseconds since 1970 by `Capped.key`."""

    moments: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def count(self, key: str, after: int) -> int:
        return sum(moment > after for moment in self.moments.get(key, ()))

    def reached(self, thing: Capped, now: int) -> Cap | None:
        """The first of its caps that leaves nothing now; None where it may be shown."""
        return next(
            (
                cap
                for cap in thing.caps
                if self.count(thing.key, now - period_ms(cap)) >= cap.shows
            ),
            None,
        )

    def plus(self, things: Sequence[Capped], now: int) -> "Shown":
        """With one more of each."""
        added = {thing.key: [*self.moments.get(thing.key, ()), now] for thing in things}
        return Shown({**self.moments, **added})


def period_ms(cap: Cap) -> int:
    return round(cap.per.total_seconds() * 1000)


def parse_period(text: object) -> timedelta:
    """A length of time such as `30 minutes`, `12 hours`, `7 days`, `7d`.

    Raises:
        ValueError: it is none, or none that can be counted over.
    """
    found = _PERIOD.fullmatch(text.strip()) if isinstance(text, str) else None
    if found is None:
        raise ValueError(
            "has to be a length of time such as 30 minutes, 12 hours or 7 days"
        )
    unit = next(unit for unit in found.groups()[1:] if unit)[0].lower()
    period = int(found[1]) * _UNITS[unit]
    if not timedelta(0) < period <= timedelta(days=MOST_DAYS):
        raise ValueError(f"has to be longer than 0 and at most {MOST_DAYS} days")
    return period


def _written(period: timedelta) -> str:
    minutes = round(period.total_seconds() / 60)
    for name, size in (("day", 1_440), ("hour", 60), ("minute", 1)):
        if minutes % size == 0:
            count = minutes // size
            return f"{count} {name}{'s' * (count != 1)}"
    return f"{minutes} minutes"

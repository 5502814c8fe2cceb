"""When people come, and how a moment is written. Moments are whole milliseconds since
midnight UTC of the first simulated day.
"""

from bisect import bisect
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from nearline.simulate.streams import cumulate

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

SESSION_GAP = 30 * MINUTE
"""The session rule of the truth; the pipeline has its own."""

# Visits by hour of the day (UTC; a European shop) and by day of the week from Monday.
_HOURS = (
    3,
    2,
    1,
    1,
    1,
    2,
    4,
    7,
    9,
    9,
    9,
    10,
    12,
    11,
    9,
    9,
    10,
    12,
    15,
    19,
    21,
    18,
    12,
    6,
)
_WEEKDAYS = (1.05, 0.95, 0.95, 1.0, 0.9, 1.15, 1.35)

# Days after the last one for which labels are made: late arrivals reach about a week.
_DAYS_AFTER = 90


@dataclass(frozen=True, slots=True)
class Calendar:
    """The simulated days and their rhythm."""

    days: int
    day_labels: list[str]
    clock_labels: list[str]
    hours: list[float]
    """Cumulated share of visits by hour since the start."""

    def draw_moment(self, rng: Random, first_day: int) -> int:
        """A moment from `first_day` on, by the rhythm of the week and the day."""
        floor = self.hours[first_day * 24 - 1] if first_day else 0.0
        hour = bisect(self.hours, floor + (1.0 - floor) * rng.random())
        return min(hour, self.days * 24 - 1) * HOUR + int(rng.random() * HOUR)

    def stamp(self, moment: int) -> str:
        """The moment as the contract writes it: ISO 8601, UTC, milliseconds."""
        seconds, milliseconds = divmod(moment, SECOND)
        day, second = divmod(seconds, 86_400)
        return f"{self.day_labels[day]}{self.clock_labels[second]}{milliseconds:03d}Z"


def make_calendar(start: date, days: int) -> Calendar:
    """The calendar of `days` days from `start`."""
    return Calendar(
        days=days,
        day_labels=[
            (start + timedelta(days=day)).isoformat()
            for day in range(days + _DAYS_AFTER)
        ],
        clock_labels=[
            f"T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}."
            for second in range(86_400)
        ],
        hours=cumulate(
            [
                weight * _WEEKDAYS[(start.weekday() + day) % 7]
                for day in range(days)
                for weight in _HOURS
            ]
        ),
    )


def last_day_fits(start: date, days: int) -> bool:
    """Whether the calendar's last label is a date that Python can write."""
    return (date.max - start).days >= days + _DAYS_AFTER

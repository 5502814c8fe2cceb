"""Which days are compared with which.

Belongs here: choosing the two periods from the days that have data. Not here: any
metric of them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

# Whole weeks first: a period with two Sundays against one with one compares weekdays,
# not weeks.
WEEKLY_LENGTHS = (28, 14, 7)

# The last day counts as whole when data reaches at least this close to its midnight;
# a small shop has no event in every minute, and half a day must not look like a fall.
WHOLE_DAY_TOLERANCE = timedelta(hours=2)

# Days without any session up to this many are quiet days; more is another data set.
LONGEST_GAP_DAYS = 7


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def day_count(self) -> int:
        return (self.last - self.first).days + 1

    @property
    def days(self) -> tuple[date, ...]:
        return tuple(
            self.first + timedelta(days=offset) for offset in range(self.day_count)
        )


@dataclass(frozen=True, slots=True)
class Periods:
    """The period shown, the one of the same length before, and what was left out."""

    current: Period
    previous: Period | None
    unfinished_day: date | None
    """Last day of the data, left out because data ends well before its midnight."""


def choose_periods(
    days_with_sessions: Collection[date], data_up_to: datetime | None
) -> Periods | None:
    """Two periods of the same length, the later ending with the last whole day.

    28, 14 or 7 days where the data spans twice that, else half of what there is; one
    single day has no previous period. None without any day.
    """
    if not days_with_sessions:
        return None
    days = sorted(set(days_with_sessions))
    unfinished_day = None
    if len(days) > 1 and is_unfinished(days[-1], data_up_to):
        unfinished_day = days.pop()
    last = days[-1]
    first = last
    for day in reversed(days):
        if (first - day).days > LONGEST_GAP_DAYS + 1:
            break
        first = day
    span = (last - first).days + 1
    length = next(
        (length for length in WEEKLY_LENGTHS if 2 * length <= span), span // 2
    )
    if length == 0:
        return Periods(Period(last, last), None, unfinished_day)
    start = last - timedelta(days=length - 1)
    return Periods(
        Period(start, last),
        Period(start - timedelta(days=length), start - timedelta(days=1)),
        unfinished_day,
    )


def is_unfinished(day: date, data_up_to: datetime | None) -> bool:
    """Whether data ends well before the day does; False where nobody knows."""
    if data_up_to is None:
        return False
    midnight = datetime.combine(day + timedelta(days=1), datetime.min.time())
    return data_up_to < midnight - WHOLE_DAY_TOLERANCE

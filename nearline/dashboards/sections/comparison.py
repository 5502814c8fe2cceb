"""The period shown beside the one before it, in days and in sums.

Belongs here: what more than one section needs of the two. Not here: which days they
are (`periods`) or whether they differ (`statistics`).
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from nearline.dashboards import wording
from nearline.dashboards.periods import Period, Periods
from nearline.dashboards.queries import DayMetrics, PageData, total

# A bounce rate over fewer of the sessions than this would be one of a chosen few.
LEAST_MEASURED_SHARE = 0.5

NO_SESSIONS = "There is no session of a person in this data."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both periods with their days and sums."""

    periods: Periods
    current_days: tuple[DayMetrics, ...]
    previous_days: tuple[DayMetrics, ...]
    current: DayMetrics = field(init=False)
    previous: DayMetrics | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "current", total(self.current_days))
        object.__setattr__(
            self, "previous", total(self.previous_days) if self.previous_days else None
        )

    @property
    def names(self) -> tuple[str, str]:
        previous = self.periods.previous
        return (
            wording.days(self.periods.current),
            wording.days(previous) if previous else "",
        )


def comparison(data: PageData) -> Comparison | None:
    """Both periods, or None without a session."""
    if data.periods is None:
        return None

    def within(period: Period | None) -> tuple[DayMetrics, ...]:
        if period is None:
            return ()
        return tuple(row for row in data.days if period.first <= row.day <= period.last)

    return Comparison(
        data.periods, within(data.periods.current), within(data.periods.previous)
    )


def currency_word(currencies: Collection[str | None]) -> str | None:
    """The one currency of the orders, or None where there is none or more than one."""
    return next(iter(currencies)) if len(currencies) == 1 else None


def mean_score(row: DayMetrics) -> float | None:
    if row.engagement_score_sum is None or row.session_count == 0:
        return None
    return row.engagement_score_sum / row.session_count


def bounce_rate(row: DayMetrics) -> float | None:
    """Bounced sessions of those of which it is known; None where it mostly is not.

    A source without page views and dwell tells of a session only that it bought, and
    the few known ones would then make a rate of zero.
    """
    if row.measured_session_count < LEAST_MEASURED_SHARE * row.session_count:
        return None
    if row.measured_session_count == 0:
        return None
    return row.bounced_session_count / row.measured_session_count

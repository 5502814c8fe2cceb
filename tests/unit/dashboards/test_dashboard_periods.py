"""Which days are compared: whole weeks, whole days, nothing invented."""

from datetime import date, datetime, timedelta

import pytest

from nearline.dashboards.periods import Period, Periods, choose_periods

LAST = date(2026, 11, 16)


def days_back(*offsets: int) -> list[date]:
    return [LAST - timedelta(days=offset) for offset in offsets]


@pytest.mark.parametrize(
    ("day_count", "length"),
    [
        (2, 1),
        (3, 1),
        (13, 6),
        (14, 7),
        (27, 7),
        (28, 14),
        (55, 14),
        (56, 28),
        (400, 28),
    ],
)
def test_the_period_is_whole_weeks_where_the_data_has_them(
    day_count: int, length: int
) -> None:
    periods = choose_periods(days_back(*range(day_count)), None)
    assert periods is not None
    assert periods.current == Period(LAST - timedelta(days=length - 1), LAST)
    assert periods.previous is not None
    assert periods.previous.day_count == length
    assert periods.previous.last == periods.current.first - timedelta(days=1)


def test_one_day_has_no_previous_period() -> None:
    assert choose_periods([LAST], datetime(2026, 11, 16, 9)) == Periods(
        Period(LAST, LAST), None, None
    )


def test_no_day_has_no_periods() -> None:
    assert choose_periods([], None) is None


def test_a_last_day_that_is_half_over_is_left_out() -> None:
    periods = choose_periods(days_back(0, 1, 2), datetime(2026, 11, 16, 11, 30))
    assert periods == Periods(
        Period(date(2026, 11, 15), date(2026, 11, 15)),
        Period(date(2026, 11, 14), date(2026, 11, 14)),
        unfinished_day=LAST,
    )


def test_a_last_day_that_ends_near_midnight_counts_as_whole() -> None:
    periods = choose_periods(days_back(0, 1), datetime(2026, 11, 16, 22, 0))
    assert periods is not None
    assert periods.current.last == LAST
    assert periods.unfinished_day is None


def test_quiet_days_belong_to_the_period_and_another_years_data_does_not() -> None:
    periods = choose_periods([*days_back(0, 5, 10), date(2019, 10, 1)], None)
    assert periods == Periods(
        Period(date(2026, 11, 12), LAST),
        Period(date(2026, 11, 7), date(2026, 11, 11)),
        None,
    )

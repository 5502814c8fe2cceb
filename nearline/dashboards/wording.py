"""Numbers and names as a reader sees them: one place, so that all of the page agrees.

Belongs here: rounding, units, signs, dates. Not here: what a number means.
"""

import math
from datetime import date, datetime

from nearline.dashboards.periods import Period
from nearline.dashboards.statistics import Interval

_DASH = "\u2013"
_SPACE = "\u00a0"
_MINUS = "\u2212"

UNKNOWN = _DASH


def count(number: float) -> str:
    """12,345"""
    return f"{number:,.0f}"


def percent(share: float | None, decimals: int = 1) -> str:
    """0.0314 -> 3.1 %"""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    return f"{share * 100:,.{decimals}f}{_SPACE}%".replace("-", _MINUS)


def share_of(part: int, whole: int) -> str:
    """4.2 % (42 of 1,000), in one piece from the bracket on."""
    if whole == 0:
        return UNKNOWN
    counts = f"({count(part)} of {count(whole)})".replace(" ", _SPACE)
    return f"{percent(part / whole)} {counts}"


def rate_decimals(share: float | None) -> int:
    """Two decimals for rates of a few per cent, where a tenth is a lot."""
    return 2 if share is not None and abs(share) < 0.1 else 1


def score(value: float | None) -> str:
    """A 0-100 score with one decimal."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:.1f}"


def decimal(value: float | None, decimals: int = 1) -> str:
    """1,234.5"""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:,.{decimals}f}".replace("-", _MINUS)


def money(cents: float | None, currency: str | None) -> str:
    """123456 -> 1,235 EUR: with cents below a hundred, without above."""
    if cents is None or not math.isfinite(cents):
        return UNKNOWN
    amount = cents / 100
    number = f"{amount:,.2f}" if abs(amount) < 100 else f"{amount:,.0f}"
    return f"{number}{_SPACE}{currency or ''}".strip().replace("-", _MINUS)


def signed(value: float, decimals: int) -> str:
    """+1.2 with a real minus sign below zero, and never a sign on a zero."""
    number = f"{abs(value):,.{decimals}f}"
    if not number.strip("0.,"):
        return number
    return f"{'+' if value > 0 else _MINUS}{number}"


def signed_percent(share: float, decimals: int = 0) -> str:
    """0.12 -> +12 %"""
    return f"{signed(share * 100, decimals)}{_SPACE}%"


def signed_span(interval: Interval, decimals: int, scale: float = 1) -> str:
    """An interval with signs: from +0.1 to +0.4."""
    low = signed(interval.low * scale, decimals)
    high = signed(interval.high * scale, decimals)
    return f"{low} to {high}"


def name(key: str) -> str:
    """cart_abandoner -> Cart abandoner"""
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def day(value: date, with_year: bool = False) -> str:
    """3 Nov, 3 Nov 2026"""
    text = f"{value.day} {value:%b}"
    return f"{text} {value.year}" if with_year else text


def days(period: Period, with_year: bool = False) -> str:
    """First and last day of a period, a month or year that they share named once."""
    first, last = period.first, period.last
    if first == last:
        return day(last, with_year)
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day}{_DASH}{day(last, with_year)}"
    has_new_year = with_year and first.year != last.year
    return f"{day(first, has_new_year)} {_DASH} {day(last, with_year)}"


def moment(value: datetime | None) -> str:
    """16 Nov 2026, 23:59 UTC"""
    if value is None:
        return "not recorded"
    return f"{day(value.date(), True)}, {value:%H:%M} UTC"


def plural(number: int, one: str, many: str | None = None) -> str:
    """1 person, 2 persons"""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"

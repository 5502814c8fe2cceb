"""The top of the page: the date of the data, one sentence, five tiles.

Belongs here: a change told with its interval, or as noise. Not here: days one by one.
"""

from dataclasses import dataclass

from nearline.dashboards import wording
from nearline.dashboards.periods import is_unfinished
from nearline.dashboards.queries import PageData
from nearline.dashboards.sections.comparison import (
    NO_SESSIONS,
    Comparison,
    bounce_rate,
    currency_word,
    mean_score,
)
from nearline.dashboards.statistics import Change, change_of_ratio, change_of_total


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure and what became of it since the period before."""

    id: str
    label: str
    value: str
    change: str
    span: str = ""
    is_noise: bool = True
    unit: str = ""


def facts(data: PageData) -> str:
    """One line: the date of the data, and what is compared with what."""
    data_up_to = data.manifest.data_up_to
    parts = [
        f"Data up to {wording.moment(data_up_to)}"
        if data_up_to
        else "Date of the data not recorded"
    ]
    if data.periods is not None:
        current = wording.days(data.periods.current, with_year=True)
        previous = data.periods.previous
        parts.append(
            f"{current} against {wording.days(previous, with_year=True)}"
            if previous
            else current
        )
    parts.append(f"release {data.manifest.release_id}")
    if data.checks:
        passed_count = sum(check.status == "passed" for check in data.checks)
        parts.append(
            f"{wording.count(passed_count)} of "
            f"{wording.plural(len(data.checks), 'check')} passed"
        )
    return " · ".join(parts)


def lead(data: PageData, compared: Comparison | None) -> str:
    """The page in one sentence."""
    if compared is None:
        return NO_SESSIONS
    current = compared.current
    rate = current.converted_session_count / current.session_count
    sentence = (
        f"{wording.percent(rate, wording.rate_decimals(rate))} of "
        f"{wording.plural(current.session_count, 'session')} included a purchase"
    )
    change = _conversion_change(data, compared)
    if change is None:
        return f"{sentence}. {_no_previous(compared)}."
    length = compared.periods.current.day_count
    before = f"the {wording.plural(length, 'day')} before"
    if change.interval is None:
        return f"{sentence}; too few purchases to compare with {before}."
    if change.is_noise:
        return f"{sentence}: no clear change from {before}."
    direction = "more" if change.estimate > 0 else "fewer"
    return f"{sentence}: clearly {direction} than in {before}."


def notes(data: PageData, compared: Comparison | None) -> list[str]:
    """What a reader must know before taking the figures at face value."""
    said: list[str] = []
    if compared is None:
        return said
    periods = compared.periods
    if periods.unfinished_day is not None:
        said.append(
            f"{wording.day(periods.unfinished_day, with_year=True)} is left out: its "
            "data is not complete yet."
        )
    elif is_unfinished(periods.current.last, data.manifest.data_up_to):
        said.append(
            f"{wording.day(periods.current.last, with_year=True)} is not complete: its "
            f"data ends at {wording.moment(data.manifest.data_up_to)}."
        )
    if compared.current.engaged_seconds == 0:
        said.append(
            "This data has no dwell time: the engagement score rests on pages, scroll "
            "depth and interactions alone."
        )
    assumed = (data.consent_event_counts or {}).get("assumed", 0)
    if assumed:
        share = assumed / sum((data.consent_event_counts or {}).values())
        said.append(
            f"{wording.percent(share)} of the events came without consent data and "
            "were taken under the consent assumed for their source."
        )
    return said


def tiles(data: PageData, compared: Comparison | None) -> list[Tile]:
    """Conversion, engagement, bounce, revenue, sessions."""
    if compared is None:
        labels = {
            "conversion": "Conversion rate",
            "engagement": "Engagement score",
            "bounce": "Bounce rate",
            "revenue": "Revenue",
            "sessions": "Sessions",
        }
        return [
            Tile(key, label, wording.UNKNOWN, "No data")
            for key, label in labels.items()
        ]
    current = compared.current
    conversion = current.converted_session_count / current.session_count
    bounce = bounce_rate(current)
    moments = data.moments
    engagement_change = bounce_change = revenue_change = sessions_change = None
    if moments is not None:
        engagement_change = change_of_ratio(
            moments, "score", "scored", is_proportion=False
        )
        bounce_change = change_of_ratio(
            moments, "bounced", "measured", is_proportion=True
        )
        revenue_change = change_of_total(moments, "revenue")
        sessions_change = change_of_total(moments, "sessions")
    return [
        _tile(
            "conversion",
            "Conversion rate",
            wording.percent(conversion, wording.rate_decimals(conversion)),
            _conversion_change(data, compared),
            compared,
            _in_points(wording.rate_decimals(conversion)),
        ),
        _tile(
            "engagement",
            "Engagement score",
            wording.score(mean_score(current)),
            engagement_change,
            compared,
            _ValueUnit(1, 1, "points"),
            "of 100",
        ),
        _tile(
            "bounce",
            "Bounce rate",
            wording.percent(bounce, wording.rate_decimals(bounce)),
            bounce_change,
            compared,
            _in_points(wording.rate_decimals(bounce)),
        ),
        _revenue_tile(data, compared, revenue_change),
        _tile(
            "sessions",
            "Sessions",
            wording.count(current.session_count),
            sessions_change,
            compared,
            _IN_PERCENT,
        ),
    ]


@dataclass(frozen=True, slots=True)
class _ValueUnit:
    scale: float
    decimals: int
    word: str


_IN_PERCENT = _ValueUnit(100, 1, "%")


def _in_points(decimals: int) -> _ValueUnit:
    return _ValueUnit(100, decimals, "points")


def _tile(
    key: str,
    label: str,
    value: str,
    change: Change | None,
    compared: Comparison,
    change_unit: _ValueUnit,
    unit: str = "",
) -> Tile:
    if value == wording.UNKNOWN:
        return Tile(key, label, value, "Not measured in this data")
    if change is None:
        return Tile(key, label, value, _no_previous(compared), unit=unit)
    decimals, scale = change_unit.decimals, change_unit.scale
    moved = f"{wording.signed(change.estimate * scale, decimals)} {change_unit.word}"
    if change.interval is None:
        span = "Too little data to tell from noise"
        return Tile(key, label, value, moved, span, unit=unit)
    span = wording.signed_span(change.interval, decimals, scale)
    span = f"95 % interval {span} {change_unit.word}"
    if change.is_noise:
        return Tile(key, label, value, "Within noise", span, unit=unit)
    arrow = "▲" if change.estimate > 0 else "▼"
    return Tile(key, label, value, f"{arrow} {moved}", span, is_noise=False, unit=unit)


def _revenue_tile(data: PageData, compared: Comparison, change: Change | None) -> Tile:
    if len(data.currencies) > 1:
        stated = ", ".join(code or "none stated" for code in data.currencies)
        return Tile(
            "revenue",
            "Revenue",
            wording.UNKNOWN,
            "Not added up",
            f"Orders are in several currencies: {stated}",
        )
    return _tile(
        "revenue",
        "Revenue",
        wording.money(compared.current.revenue_cents, None),
        change,
        compared,
        _IN_PERCENT,
        currency_word(data.currencies) or "",
    )


def _no_previous(compared: Comparison) -> str:
    if compared.periods.previous is None:
        return "One day of data: no previous period"
    if compared.previous is None or compared.previous.session_count == 0:
        return "No data in the previous period"
    return "Nothing in the previous period"


def _conversion_change(data: PageData, compared: Comparison) -> Change | None:
    if data.moments is None or compared.previous is None:
        return None
    return change_of_ratio(data.moments, "converted", "sessions", is_proportion=True)

"""Conversion, engagement, bounce, sessions and revenue, day by day.

Belongs here: a metric's definition in a sentence, its unit, its chart and table.
"""

from collections.abc import Callable, Sequence

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import DayPoint
from nearline.dashboards.queries import DayMetrics, PageData
from nearline.dashboards.sections.comparison import (
    NO_SESSIONS,
    Comparison,
    bounce_rate,
    currency_word,
    mean_score,
)
from nearline.dashboards.sections.figures import Figure, Table
from nearline.dashboards.statistics import Interval, mean_interval, wilson_interval


def over_time_sentence(compared: Comparison | None) -> str:
    """Which days are drawn over which."""
    if compared is None:
        return NO_SESSIONS
    current, previous = compared.periods.current, compared.periods.previous
    if previous is None:
        return (
            f"There is one day of data, {wording.day(current.last, with_year=True)}, "
            "and so no previous period to compare it with."
        )
    length = wording.plural(current.day_count, "day")
    return (
        f"{wording.days(current, with_year=True)}, with the {length} before "
        f"({wording.days(previous, with_year=True)}) drawn under the same dates."
    )


_DEFINITIONS = {
    "conversion": (
        "Conversion rate = sessions with a purchase / sessions, in per cent, per day."
    ),
    "engagement": (
        "Engagement score = 0 to 100 points a session, from engaged seconds, pages, "
        "scroll depth and interactions; mean per day."
    ),
    "bounce": (
        "Bounce rate = sessions under 10 seconds with fewer than 2 page views and no "
        "key event / sessions, in per cent, per day. Lower is better."
    ),
}


def over_time(data: PageData, compared: Comparison | None) -> list[Figure]:
    """Conversion, engagement, bounce, sessions and revenue per day."""
    titles = {
        "conversion": "Conversion rate",
        "engagement": "Engagement score",
        "bounce": "Bounce rate",
    }
    totals = {"sessions": "Sessions", "revenue": "Revenue"}
    sentences = {
        **_DEFINITIONS,
        "sessions": "Sessions begun per day, bots left out.",
        "revenue": "Value of the purchases in the day's sessions.",
    }
    if compared is None:
        return [
            Figure(key, title, sentences[key], empty=NO_SESSIONS)
            for key, title in {**titles, **totals}.items()
        ]
    figures = [
        _line_figure(
            "conversion",
            titles["conversion"],
            sentences["conversion"],
            compared,
            unit="% of sessions",
            tick_unit="%",
            value=lambda row: _in_percent(_conversion_rate(row)),
            interval=lambda row: _scaled(
                wilson_interval(row.converted_session_count, row.session_count)
            ),
            text=lambda value: wording.percent(value / 100, 2),
            is_wide=True,
        ),
        _line_figure(
            "engagement",
            titles["engagement"],
            sentences["engagement"],
            compared,
            unit="points, 0 to 100",
            tick_unit="",
            value=mean_score,
            interval=lambda row: mean_interval(row.engagement_scores),
            text=wording.score,
        ),
        _line_figure(
            "bounce",
            titles["bounce"],
            sentences["bounce"],
            compared,
            unit="% of sessions",
            tick_unit="%",
            value=lambda row: _in_percent(bounce_rate(row)),
            interval=lambda row: _scaled(
                wilson_interval(row.bounced_session_count, row.measured_session_count)
            ),
            text=lambda value: wording.percent(value / 100, 1),
        ),
        _bar_figure(
            "sessions",
            totals["sessions"],
            sentences["sessions"],
            compared,
            unit="sessions a day",
            value=lambda row: float(row.session_count),
            text=wording.count,
        ),
    ]
    if len(data.currencies) > 1:
        figures.append(
            Figure(
                "revenue",
                totals["revenue"],
                sentences["revenue"],
                empty="Orders are in several currencies and are not added up.",
            )
        )
    else:
        currency = currency_word(data.currencies)
        figures.append(
            _bar_figure(
                "revenue",
                totals["revenue"],
                sentences["revenue"],
                compared,
                unit=f"{currency or 'currency not stated'}, a day",
                value=lambda row: row.revenue_cents / 100,
                text=lambda value: wording.money(value * 100, currency),
            )
        )
    return figures


def _line_figure(
    key: str,
    title: str,
    sentence: str,
    compared: Comparison,
    *,
    unit: str,
    tick_unit: str,
    value: Callable[[DayMetrics], float | None],
    interval: Callable[[DayMetrics], Interval | None],
    text: Callable[[float], str],
    is_wide: bool = False,
) -> Figure:
    points = _points(compared, value=value, interval=interval, text=text)
    if all(point.value is None for point in points):
        return Figure(key, title, sentence, empty="Not measured in this data.")
    has_band = len(points) >= charts.LEAST_DAYS_FOR_BAND
    legend = [
        ("line", compared.names[0]),
        ("band" if has_band else "error", "95 % interval of the day"),
    ]
    if compared.periods.previous is not None:
        legend.append(("dashed", compared.names[1]))
    return Figure(
        key,
        title,
        sentence,
        charts.line_over_time(
            points,
            unit=unit,
            tick_unit=tick_unit,
            description=f"{title} per day, {compared.names[0]}",
        ),
        tuple(legend),
        _day_table(points, compared),
        is_wide=is_wide,
    )


def _bar_figure(
    key: str,
    title: str,
    sentence: str,
    compared: Comparison,
    *,
    unit: str,
    value: Callable[[DayMetrics], float | None],
    text: Callable[[float], str],
) -> Figure:
    points = _points(compared, value=value, interval=lambda row: None, text=text)
    legend = [("bar", compared.names[0])]
    if compared.periods.previous is not None:
        legend.append(("stroke", compared.names[1]))
    return Figure(
        key,
        title,
        sentence,
        charts.bars_over_time(
            points, unit=unit, description=f"{title} per day, {compared.names[0]}"
        ),
        tuple(legend),
        _day_table(points, compared),
    )


def _points(
    compared: Comparison,
    *,
    value: Callable[[DayMetrics], float | None],
    interval: Callable[[DayMetrics], Interval | None],
    text: Callable[[float], str],
) -> list[DayPoint]:
    points = []
    for index, row in enumerate(compared.current_days):
        before = compared.previous_days[index] if compared.previous_days else None
        number, around = value(row), interval(row)
        previous = value(before) if before else None
        if number is None:
            around = None
        points.append(
            DayPoint(
                day=row.day.isoformat(),
                label=f"{row.day:%a} {wording.day(row.day)}",
                value=number,
                value_text=wording.UNKNOWN if number is None else text(number),
                low=around.low if around else None,
                high=around.high if around else None,
                interval_text=(
                    f"{text(around.low)} to {text(around.high)}" if around else ""
                ),
                previous=previous,
                previous_text=_previous_text(before, previous, text),
            )
        )
    return points


def _previous_text(
    row: DayMetrics | None, value: float | None, text: Callable[[float], str]
) -> str:
    if row is None:
        return ""
    number = wording.UNKNOWN if value is None else text(value)
    return f"{number} ({row.day:%a} {wording.day(row.day)})"


def _day_table(points: Sequence[DayPoint], compared: Comparison) -> Table:
    has_interval = any(point.interval_text for point in points)
    has_previous = compared.periods.previous is not None
    columns = ["Day", "Value"]
    columns += ["95 % interval"] if has_interval else []
    columns += ["Previous period"] if has_previous else []
    rows = []
    for point in points:
        row = [point.label, point.value_text]
        row += [point.interval_text] if has_interval else []
        row += [point.previous_text] if has_previous else []
        rows.append(tuple(row))
    return Table(tuple(columns), tuple(rows))


def _conversion_rate(row: DayMetrics) -> float | None:
    if row.session_count == 0:
        return None
    return row.converted_session_count / row.session_count


def _in_percent(share: float | None) -> float | None:
    return None if share is None else share * 100


def _scaled(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(interval.low * 100, interval.high * 100)

"""What came late: by delay, by day and source, and what it did to sessions.

Belongs here: lateness in words that need no explanation. Not here: when an event counts
as late, or a session as re-opened or split; the tables say so.
"""

from collections.abc import Iterable, Mapping, Sequence

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import BarRow, DayPoint
from nearline.dashboards.periods import Period, Periods
from nearline.dashboards.queries import LateDay, PageData
from nearline.dashboards.sections.figures import Figure, Table, days_table

_ALL = "All sources"
_NO_TABLE = "This release has no table of lateness by day."
_NO_EVENTS = "No event happened in these days."


def lateness(data: PageData) -> list[Figure]:
    """Delays, the share that is late day by day, and the sessions that it touched."""
    return [_delays(data), _share_by_day(data), _effects(data)]


def _delays(data: PageData) -> Figure:
    key, title = "lateness", "Delay of arrival"
    sentence = "Events by the time between happening and arrival."
    if data.lateness is None:
        return Figure(key, title, sentence, empty="This release has no lateness table.")
    event_count = sum(row.event_count for row in data.lateness)
    if event_count == 0:
        return Figure(key, title, sentence, empty="No event arrived in this data.")
    late_count = sum(row.late_event_count for row in data.lateness)
    sentence += (
        f" {wording.percent(late_count / event_count, 2)} of them count as late."
    )
    names = [_bucket_name(row.delay_bucket) for row in data.lateness]
    return Figure(
        key,
        title,
        sentence,
        charts.labelled_bars(
            [
                BarRow(
                    name, row.event_count, _event_share(row.event_count, event_count)
                )
                for name, row in zip(names, data.lateness, strict=True)
            ],
            unit="events",
            description="Events by delay of arrival",
            names=("Events", ""),
        ),
        table=Table(
            ("Delay", "Events", "Late"),
            tuple(
                (
                    name,
                    _event_share(row.event_count, event_count),
                    wording.count(row.late_event_count),
                )
                for name, row in zip(names, data.lateness, strict=True)
            ),
        ),
    )


def _bucket_name(delay_bucket: str) -> str:
    """'2: up to 10 minutes' -> 'Up to 10 minutes': the number is there to sort by."""
    number, colon, words = delay_bucket.partition(":")
    return wording.name(words if colon and number.isdigit() else delay_bucket)


def _event_share(number: int, whole: int) -> str:
    return f"{wording.count(number)} ({wording.percent(number / whole)})"


def _share_by_day(data: PageData) -> Figure:
    key, title = "late-share", "Late events, day by day"
    sentence = "Share of the events of a day that came late."
    if data.late_days is None:
        return Figure(key, title, sentence, empty=_NO_TABLE)
    if data.periods is None or not any(row.event_count for row in data.late_days):
        return Figure(key, title, sentence, empty=_NO_EVENTS)
    shown = _shown(data.periods)
    sentence = (
        f"Share of the events of a day that came more than "
        f"{_minutes(row.late_after_minutes for row in data.late_days)} after they "
        "happened. They are counted in all figures on the day on which they happened, "
        "and the last days' share may still rise."
    )
    lines = {
        f"From {name}": _points(rows, shown)
        for name, rows in _by_source(data.late_days).items()
    }
    return Figure(
        key,
        title,
        sentence,
        charts.lines_over_time(
            lines,
            unit="% of the day's events",
            tick_unit="%",
            description=f"Share of late events per day, {wording.days(shown, True)}",
        ),
        tuple(zip(charts.LINE_STYLES, lines, strict=False)),
        table=days_table(lines),
        is_wide=True,
    )


def _shown(periods: Periods) -> Period:
    return Period((periods.previous or periods.current).first, periods.current.last)


def _minutes(stated: Iterable[int]) -> str:
    """The var that the rows were counted with, the same on all of them."""
    return wording.plural(max(stated), "minute")


def _by_source(rows: Sequence[LateDay]) -> Mapping[str, Sequence[LateDay]]:
    """Rows by source, the largest first; those that have no line of their own as one."""
    by_source: dict[str, list[LateDay]] = {}
    for row in rows:
        by_source.setdefault(row.source, []).append(row)
    ranked = sorted(
        by_source, key=lambda name: (-sum(r.event_count for r in by_source[name]), name)
    )
    line_count = len(charts.LINE_STYLES)
    named = ranked if len(ranked) <= line_count else ranked[: line_count - 1]
    found = {name: by_source[name] for name in named}
    others = ranked[len(named) :]
    if others:
        found[f"{len(others)} other sources"] = [
            row for name in others for row in by_source[name]
        ]
    return found


def _points(rows: Sequence[LateDay], shown: Period) -> list[DayPoint]:
    points = []
    for day in shown.days:
        of_day = [row for row in rows if row.day == day]
        event_count = sum(row.event_count for row in of_day)
        late_count = sum(row.late_event_count for row in of_day)
        points.append(
            DayPoint(
                day=day.isoformat(),
                label=f"{day:%a} {wording.day(day)}",
                value=100 * late_count / event_count if event_count else None,
                value_text=wording.share_of(late_count, event_count)
                if event_count
                else "no events",
            )
        )
    return points


def _effects(data: PageData) -> Figure:
    key, title = "late-effects", "What late events did to sessions"
    sentence = (
        "A late event is put into the session to which it belongs, whenever it comes."
    )
    if data.late_days is None:
        return Figure(key, title, sentence, empty=_NO_TABLE)
    if data.periods is None or not any(row.event_count for row in data.late_days):
        return Figure(key, title, sentence, empty=_NO_EVENTS)
    rows = data.late_days
    sentence += (
        f" Counted here: {wording.days(_shown(data.periods), True)}, bots included."
    )
    by_source = _by_source(rows)
    tabled = by_source if len(by_source) == 1 else {**by_source, _ALL: rows}
    return Figure(
        key,
        title,
        sentence,
        terms=_terms(rows),
        table=Table(
            ("Source", "Late events", "Re-opened", "Saved from a split", "Set aside"),
            tuple(_effects_row(name, found) for name, found in tabled.items()),
        ),
        is_wide=True,
    )


def _terms(rows: Sequence[LateDay]) -> tuple[tuple[str, str], ...]:
    measured = sum(row.measured_session_count for row in rows)
    unmeasured = sum(row.session_count for row in rows) - measured
    silence = _minutes(row.session_gap_minutes for row in rows)
    if measured:
        reopened = (
            f"{_of_sessions(sum(r.reopened_session_count for r in rows), measured)} "
            f"Something arrived after more than {silence} of silence, when the session "
            "could be taken for over."
        )
        split = (
            f"{_of_sessions(sum(r.split_session_count for r in rows), measured)} "
            "With late events dropped, such a session would count as two or more."
        )
    else:
        reopened = split = "Not measured in this data."
    terms = [("Sessions re-opened", reopened), ("Saved from a split", split)]
    if unmeasured:
        terms.append(
            (
                "Sessions not measured",
                f"{wording.count(unmeasured)}. Their source says itself when a session "
                "is over.",
            )
        )
    terms.append(("Events set aside", _set_aside_sentence(rows)))
    return tuple(terms)


def _of_sessions(part: int, whole: int) -> str:
    if part == 0:
        return f"None of {wording.plural(whole, 'session')}."
    return f"{wording.share_of(part, whole)}."


def _set_aside_sentence(rows: Sequence[LateDay]) -> str:
    too_long = sum(row.session_too_long_event_count for row in rows)
    too_old = sum(row.created_too_long_before_sent_event_count for row in rows)
    if too_long + too_old == 0:
        return "None. Every event's time was within what sessions allow."
    reasons = []
    if too_long:
        reasons.append(
            f"{wording.count(too_long)} came in a session that had gone on for longer "
            "than sessions may"
        )
    if too_old:
        reasons.append(
            f"{wording.count(too_old)} had waited on the device for longer than its "
            "source allows"
        )
    return (
        f"{wording.count(too_long + too_old)}, which are in no other figure: "
        f"{'; '.join(reasons)}."
    )


def _effects_row(name: str, rows: Sequence[LateDay]) -> tuple[str, ...]:
    measured = sum(row.measured_session_count for row in rows)
    return (
        name,
        _share_and_count(
            sum(row.late_event_count for row in rows),
            sum(row.event_count for row in rows),
        ),
        _share_and_count(sum(row.reopened_session_count for row in rows), measured),
        _share_and_count(sum(row.split_session_count for row in rows), measured),
        wording.count(
            sum(
                row.session_too_long_event_count
                + row.created_too_long_before_sent_event_count
                for row in rows
            )
        ),
    )


def _share_and_count(part: int, whole: int) -> str:
    """4.2 % (42): short, since a phone shows five columns of them."""
    if whole == 0:
        return wording.UNKNOWN
    return f"{wording.percent(part / whole)} ({wording.count(part)})"

"""What apps were served beside what the tables say: day by day, and by feature.

Belongs here: the comparison in words that need no explanation. Not here: when a value
counts as wrong; the table says so.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import DayPoint
from nearline.dashboards.queries import PageData, ServedDay
from nearline.dashboards.sections.figures import Figure, Table, days_table

MOST_FEATURES_SHOWN = 60

_SPEEDS = {"batch": "From the last run", "live": "Live"}
_NO_TABLE = "This release has no table of served values."
_NOTHING = "No app has read a feature of a sampled visitor or item yet."


def parity(data: PageData) -> list[Figure]:
    """The share that was wrong day by day, and what was wrong of which feature."""
    return [_share_by_day(data.served_days), _by_feature(data.served_days)]


def _share_by_day(rows: Sequence[ServedDay] | None) -> Figure:
    key, title = "served-share", "Served features, right or wrong"
    sentence = "Share of the served feature values that the tables do not have."
    if rows is None:
        return Figure(key, title, sentence, empty=_NO_TABLE)
    if not rows:
        return Figure(key, title, sentence, empty=_NOTHING)
    sentence = (
        "A sample of what apps were served, each value beside the one that the tables "
        "have for its own moment. Days are days of serving; the newest values wait for "
        "the next run."
    )
    lines = {
        name: _points([row for row in rows if row.speed == speed], _days(rows))
        for speed, name in _SPEEDS.items()
        if any(row.speed == speed for row in rows)
    }
    return Figure(
        key,
        title,
        sentence,
        charts.lines_over_time(
            lines,
            unit="% of the compared values",
            tick_unit="%",
            description="Share of served values that were wrong, per day",
        ),
        tuple(zip(charts.LINE_STYLES, lines, strict=False)),
        table=days_table(lines),
        is_wide=True,
    )


def _days(rows: Sequence[ServedDay]) -> list[date]:
    first, last = rows[0].day, rows[-1].day
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _points(rows: Sequence[ServedDay], days: Sequence[date]) -> list[DayPoint]:
    points = []
    for day in days:
        of_day = [row for row in rows if row.day == day]
        compared = sum(row.compared_count for row in of_day)
        wrong = sum(row.wrong_count for row in of_day)
        if compared:
            text = wording.share_of(wrong, compared)
        else:
            text = "not compared yet" if of_day else "nothing served"
        points.append(
            DayPoint(
                day=day.isoformat(),
                label=f"{day:%a} {wording.day(day)}",
                value=100 * wrong / compared if compared else None,
                value_text=text,
            )
        )
    return points


def _by_feature(rows: Sequence[ServedDay] | None) -> Figure:
    key, title = "served-features", "Served features, one by one"
    sentence = "What was wrong of which feature, over all days that are kept."
    if rows is None:
        return Figure(key, title, sentence, empty=_NO_TABLE)
    if not rows:
        return Figure(key, title, sentence, empty=_NOTHING)
    features: dict[tuple[str, str], list[ServedDay]] = {}
    for row in rows:
        features.setdefault((row.view_name, row.feature), []).append(row)
    ranked = sorted(
        features.items(), key=lambda item: (-_sum(item[1], "wrong_count"), item[0])
    )
    shown = ranked[:MOST_FEATURES_SHOWN]
    if len(shown) < len(ranked):
        sentence += (
            f" {wording.count(len(ranked) - len(shown))} features more, with no more "
            "wrong values than these, are left out."
        )
    return Figure(
        key,
        title,
        sentence,
        terms=_terms(rows),
        table=Table(
            ("Feature", "Wrong", "Compared", "Off by at most", "View"),
            tuple(_feature_row(*names, found) for names, found in shown),
            words=(4,),
        ),
        is_wide=True,
    )


def _terms(rows: Sequence[ServedDay]) -> tuple[tuple[str, str], ...]:
    compared = _sum(rows, "compared_count")
    wrong = _sum(rows, "wrong_count")
    pending = _sum(rows, "pending_count")
    if compared == 0:
        verdict = "No value can be compared yet."
    elif wrong == 0:
        verdict = f"None of {wording.plural(compared, 'value')}."
    else:
        kinds = (
            ("differ from the table", "mismatched_count"),
            ("were served as unknown and are known", "missing_count"),
            ("were served and are unknown", "extra_count"),
        )
        said = "; ".join(
            f"{wording.count(number)} {words}"
            for words, name in kinds
            if (number := _sum(rows, name))
        )
        # No share: of so many values, a few that are wrong would round to none.
        verdict = f"{wording.count(wrong)} of {wording.count(compared)}: {said}."
    terms = [("Wrong", verdict)]
    if pending:
        terms.append(
            (
                "Not compared yet",
                f"{wording.plural(pending, 'value')}, newer than what the tables hold.",
            )
        )
    return tuple(terms)


def _feature_row(view: str, feature: str, rows: Sequence[ServedDay]) -> tuple[str, ...]:
    compared, wrong = _sum(rows, "compared_count"), _sum(rows, "wrong_count")
    differences = [
        row.max_difference for row in rows if row.wrong_count and row.max_difference
    ]
    return (
        feature,
        wording.count(wrong) if compared else wording.UNKNOWN,
        wording.count(compared),
        f"{max(differences):,.6g}" if differences else wording.UNKNOWN,
        view,
    )


def _sum(rows: Sequence[ServedDay], name: str) -> int:
    return sum(getattr(row, name) for row in rows)

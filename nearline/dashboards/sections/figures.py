"""What a section is made of: a chart with its words, a table of ready-made cells.

Not here: any section's own content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearline.dashboards import charts, wording
from nearline.dashboards.charts import DayPoint, EffectRow, Specification
from nearline.dashboards.statistics import Interval


@dataclass(frozen=True, slots=True)
class Table:
    """Ready-made cells; `words` are the indexes of columns that hold text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, or terms with their meanings; `empty` says why where there is neither."""

    id: str
    title: str
    sentence: str
    specification: Specification | None = None
    legend: tuple[tuple[str, str], ...] = ()
    table: Table | None = None
    empty: str | None = None
    is_wide: bool = False
    terms: tuple[tuple[str, str], ...] = ()
    """Words with their meanings, for what is not drawn."""


def days_table(lines: Mapping[str, Sequence[DayPoint]]) -> Table:
    """What a chart of lines over the same days draws, a row a day."""
    return Table(
        ("Day", *lines),
        tuple(
            (points[0].label, *(point.value_text for point in points))
            for points in zip(*lines.values(), strict=True)
        ),
    )


def effect_row(
    label: str, lift: float | None, low: float | None, high: float | None
) -> EffectRow | None:
    """A relative change with its interval; None where there is none to draw."""
    if lift is None or low is None or high is None:
        return None
    span = wording.signed_span(Interval(low, high), 1, 100)
    text = f"{wording.signed_percent(lift, 1)} (95 % interval {span})"
    return EffectRow(label, lift, low, high, text)


def effects_figure(key: str, rows: Sequence[EffectRow]) -> Figure:
    """Relative changes against control, one below the other."""
    return Figure(
        key,
        "",
        "",
        charts.effects(
            rows,
            unit="% change against control",
            description="Relative change of each metric against control",
        ),
    )

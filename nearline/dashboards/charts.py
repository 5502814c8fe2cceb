"""Chart builders: records in, Vega-Lite specification out; nothing is read or computed.

Colours are no part of a chart: marks carry a style name (`current`, `previous`, ...)
and `THEMES` says what it looks like on a light and on a dark screen. Any text that a
chart shows arrives ready-made, so that tooltip, axis and table say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import altair as alt

Specification = dict[str, Any]

# Nothing on the page is smaller; phones are read at arm's length too.
FONT_SIZE = 14
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"

# Below this many days an area is a sliver: single bars of error are drawn instead.
LEAST_DAYS_FOR_BAND = 3

# Told apart by dash and by the shape of their points as well as by colour.
LINE_STYLES = ("line_1", "line_2", "line_3", "line_4")
_DASHES = ([1, 0], [7, 4], [2, 4], [9, 4, 2, 4])
_SHAPES = ("circle", "square", "triangle-up", "diamond")

_CHART_HEIGHT = 220
_ROW_HEIGHT = 56
_EFFECT_HEIGHT = 84
_CHARACTER_WIDTH = 8.5
# A label at the very end of an axis is centred there and needs half its width.
_AXIS_ROOM = 20


@dataclass(frozen=True, slots=True)
class DayPoint:
    """One day of a line chart; numbers in the chart's unit, None where not known."""

    day: str
    """ISO date."""
    label: str
    value: float | None
    value_text: str
    low: float | None = None
    high: float | None = None
    interval_text: str = ""
    previous: float | None = None
    previous_text: str = ""


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar below its own label; `inner` is a part of `value`."""

    label: str
    value: float
    value_text: str
    inner: float | None = None
    inner_text: str = ""


@dataclass(frozen=True, slots=True)
class EffectRow:
    """One estimate with its interval, as shares of the control (0.1 is a tenth)."""

    label: str
    estimate: float
    low: float
    high: float
    text: str


def line_over_time(
    points: Sequence[DayPoint],
    *,
    unit: str,
    description: str,
    tick_unit: str = "",
    names: tuple[str, str] = ("This period", "Previous period"),
) -> Specification:
    """A line with its interval as a band, and the period before dashed beneath it."""
    base = _chart([asdict(point) for point in points])
    day = _day_axis(points)
    value = _value_axis("value", tick_unit)
    low, high = _value_axis("low", tick_unit), alt.Y2("high")
    layers: list[alt.Chart] = []
    if any(point.low is not None for point in points):
        with_interval = base.transform_filter("isValid(datum.low)")
        if len(points) >= LEAST_DAYS_FOR_BAND:
            layers.append(
                with_interval.mark_area(style="band").encode(x=day, y=low, y2=high)
            )
        else:
            layers.append(
                with_interval.mark_rule(style="error").encode(x=day, y=low, y2=high)
            )
    if any(point.previous is not None for point in points):
        previous = _value_axis("previous", tick_unit)
        layers.append(base.mark_line(style="previous").encode(x=day, y=previous))
        if len(points) < LEAST_DAYS_FOR_BAND:
            layers.append(
                base.mark_point(style="previous-point").encode(x=day, y=previous)
            )
    layers.append(base.mark_line(style="current").encode(x=day, y=value))
    layers.append(base.mark_point(style="current-point").encode(x=day, y=value))
    layers.append(_hover(base, day, points, names))
    return _finish(alt.layer(*layers), unit, description, _CHART_HEIGHT, _AXIS_ROOM)


def lines_over_time(
    lines: Mapping[str, Sequence[DayPoint]],
    *,
    unit: str,
    description: str,
    tick_unit: str = "",
) -> Specification:
    """A line for each name, over the same days; at most as many as `LINE_STYLES`."""
    if not 0 < len(lines) <= len(LINE_STYLES):
        raise ValueError(f"1 to {len(LINE_STYLES)} lines, not {len(lines)}")
    days = next(iter(lines.values()))
    records: list[dict[str, Any]] = [
        {"day": point.day, "label": point.label} for point in days
    ]
    for style, points in zip(LINE_STYLES, lines.values(), strict=False):
        for record, point in zip(records, points, strict=True):
            record[f"value_{style}"] = point.value
            record[f"text_{style}"] = point.value_text
    base = _chart(records)
    day = _day_axis(days)
    layers: list[alt.Chart] = []
    tooltip = [alt.Tooltip("label:N", title="title")]
    for style, name in zip(LINE_STYLES, lines, strict=False):
        value = _value_axis(f"value_{style}", tick_unit)
        layers.append(base.mark_line(style=style).encode(x=day, y=value))
        layers.append(base.mark_point(style=f"{style}_point").encode(x=day, y=value))
        tooltip.append(alt.Tooltip(f"text_{style}:N", title=name))
    layers.append(_strips(base, day, days, tooltip))
    return _finish(alt.layer(*layers), unit, description, _CHART_HEIGHT, _AXIS_ROOM)


def bars_over_time(
    points: Sequence[DayPoint],
    *,
    unit: str,
    description: str,
    names: tuple[str, str] = ("This period", "Previous period"),
) -> Specification:
    """A bar a day, and the period before as a stroke across it."""
    base = _chart([asdict(point) for point in points])
    # A time axis has no bands for bars to fill: a share of a day's width instead.
    day_width = f"width / {len(points) + 1}"
    bar_size = alt.ExprRef(f"clamp(0.7 * {day_width}, 3, 40)")
    tick_size = alt.ExprRef(f"clamp(0.9 * {day_width}, 4, 48)")
    day = _day_axis(points, padding=max(6, 140 // len(points)))
    layers = [
        base.mark_bar(style="current-bar", size=bar_size).encode(
            x=day, y=_value_axis("value", "")
        )
    ]
    if any(point.previous is not None for point in points):
        layers.append(
            base.mark_tick(style="previous-tick", size=tick_size).encode(
                x=day, y=_value_axis("previous", "")
            )
        )
    layers.append(_hover(base, day, points, names))
    return _finish(alt.layer(*layers), unit, description, _CHART_HEIGHT, _AXIS_ROOM)


def labelled_bars(
    rows: Sequence[BarRow],
    *,
    unit: str,
    description: str,
    names: tuple[str, str] = ("All", "Part"),
) -> Specification:
    """Bars with their labels above them: a long name costs no width on a phone."""
    records = [{**asdict(row), "position": index} for index, row in enumerate(rows)]
    base = _chart(records)
    band = alt.Y("position:O", axis=None)
    tooltip = [
        alt.Tooltip("label:N", title="title"),
        alt.Tooltip("value_text:N", title=names[0]),
    ]
    has_inner = any(row.inner is not None for row in rows)
    if has_inner:
        tooltip.append(alt.Tooltip("inner_text:N", title=names[1]))
    length = alt.X("value:Q", axis=None, scale=alt.Scale(zero=True, nice=False))
    layers = [
        base.mark_bar(
            style="whole-bar" if has_inner else "current-bar", size=16, yOffset=12
        ).encode(x=length, y=band, tooltip=tooltip)
    ]
    if has_inner:
        layers.append(
            base.mark_bar(style="current-bar", size=16, yOffset=12).encode(
                x=alt.X("inner:Q"), y=band, tooltip=tooltip
            )
        )
    longest = max((len(row.value_text) for row in rows), default=0)
    layers += _row_texts(base, band, tooltip, "value_text", longest)
    chart = alt.layer(*layers)
    return _finish(chart, unit, description, _ROW_HEIGHT * len(rows))


def effects(rows: Sequence[EffectRow], *, unit: str, description: str) -> Specification:
    """Estimates with their intervals around the line of no change."""
    records = [
        {**asdict(row), "position": index, "none": 0} for index, row in enumerate(rows)
    ]
    base = _chart(records)
    band = alt.Y("position:O", axis=None)
    tooltip = [
        alt.Tooltip("label:N", title="title"),
        alt.Tooltip("text:N", title="Change"),
    ]
    axis = alt.Axis(
        title=None,
        labelExpr="(datum.value > 0 ? '+' : '') + format(datum.value * 100, '~g')",
        tickCount=5,
        grid=False,
    )
    # A stroke a row, not one line through all of them: it would cross the labels.
    layers = [
        base.mark_tick(style="no-change", size=26, yOffset=18).encode(
            x="none:Q", y=band
        ),
        base.mark_rule(style="error", yOffset=18, y2Offset=18).encode(
            x=alt.X("low:Q", axis=axis, scale=alt.Scale(zero=True, nice=True)),
            x2="high",
            y=band,
            tooltip=tooltip,
        ),
        base.mark_point(style="current-point", yOffset=18, size=130).encode(
            x="estimate:Q", y=band, tooltip=tooltip
        ),
        base.mark_text(style="row-label", align="left", dy=-26).encode(
            x=alt.value(0), y=band, text="label:N", tooltip=tooltip
        ),
        base.mark_text(style="row-detail", align="left", dy=-7).encode(
            x=alt.value(0), y=band, text="text:N", tooltip=tooltip
        ),
    ]
    return _finish(
        alt.layer(*layers), unit, description, _EFFECT_HEIGHT * len(rows), _AXIS_ROOM
    )


def _chart(records: list[dict[str, Any]]) -> alt.Chart:
    chart: alt.Chart = alt.Chart(alt.InlineData(values=records))
    return chart


def _row_texts(
    base: alt.Chart,
    band: alt.Y,
    tooltip: list[alt.Tooltip],
    field: str,
    longest: int,
) -> list[alt.Chart]:
    """A row's label at the left and its value at the right, above what is drawn."""
    # Room for the widest value: a label is cut there, and whole in tooltip and table.
    room = alt.ExprRef(f"max(80, width - {longest * _CHARACTER_WIDTH + 16})")
    return [
        base.mark_text(style="row-label", align="left", dy=-10, limit=room).encode(
            x=alt.value(0), y=band, text="label:N", tooltip=tooltip
        ),
        base.mark_text(style="row-value", align="right", dy=-10).encode(
            x=alt.value("width"), y=band, text=f"{field}:N", tooltip=tooltip
        ),
    ]


def _day_axis(points: Sequence[DayPoint], padding: int = 0) -> alt.X:
    # A date without a time is UTC to a browser: a local axis could show the day before.
    axis = alt.Axis(
        title=None,
        format="%-d %b",
        tickCount=min(len(points), 5),
        labelOverlap="greedy",
        labelSeparation=8,
        grid=False,
    )
    scale: dict[str, Any] = {"type": "utc", "padding": padding}
    if len(points) == 1:
        axis.values = [points[0].day]
    return alt.X("day:T", axis=axis, scale=alt.Scale(**scale))


def _value_axis(field: str, tick_unit: str) -> alt.Y:
    suffix = f" + ' {tick_unit}'" if tick_unit else ""
    axis = alt.Axis(
        title=None, tickCount=4, labelExpr=f"format(datum.value, ',~r'){suffix}"
    )
    return alt.Y(f"{field}:Q", axis=axis, scale=alt.Scale(zero=True))


def _hover(
    base: alt.Chart,
    day: alt.X,
    points: Sequence[DayPoint],
    names: tuple[str, str],
) -> alt.Chart:
    tooltip = [
        alt.Tooltip("label:N", title="title"),
        alt.Tooltip("value_text:N", title=names[0]),
    ]
    if any(point.interval_text for point in points):
        tooltip.append(alt.Tooltip("interval_text:N", title="95 % interval"))
    if any(point.previous_text for point in points):
        tooltip.append(alt.Tooltip("previous_text:N", title=names[1]))
    return _strips(base, day, points, tooltip)


def _strips(
    base: alt.Chart,
    day: alt.X,
    points: Sequence[DayPoint],
    tooltip: list[alt.Tooltip],
) -> alt.Chart:
    """Unseen strips over the whole height: a finger need not hit a point."""
    # As wide as a day and no wider: where two overlapped, the later day would answer.
    width = alt.ExprRef(f"max(2, width / {max(len(points) - 1, 1)})")
    strips: alt.Chart = base.mark_rule(style="hover", strokeWidth=width).encode(
        x=day, tooltip=tooltip
    )
    return strips


def _finish(
    chart: alt.LayerChart | alt.FacetChart,
    unit: str,
    description: str,
    height: int,
    right_padding: int = 0,
) -> Specification:
    specification: Specification = chart.properties(
        width="container",
        height=height,
        title=unit,
        description=description,
        padding={"left": 0, "top": 2, "right": right_padding, "bottom": 2},
    ).to_dict()
    # The page sets both for all charts; the schema's address would be noise in it.
    for key in ("$schema", "config"):
        specification.pop(key, None)
    return specification


def _theme(
    *,
    text: str,
    faint: str,
    grid: str,
    current: str,
    pale: str,
    previous: str,
    lines: Sequence[str],
) -> Mapping[str, Any]:
    line_styles: dict[str, Any] = {}
    for style, color, dash, shape in zip(
        LINE_STYLES, lines, _DASHES, _SHAPES, strict=True
    ):
        line_styles[style] = {"color": color, "strokeWidth": 2.25, "strokeDash": dash}
        line_styles[f"{style}_point"] = {
            "color": color,
            "shape": shape,
            "filled": True,
            "opacity": 1,
            "size": 50,
        }
    return {
        "background": None,
        "font": FONT,
        "view": {"stroke": None},
        "title": {
            "anchor": "start",
            "frame": "group",
            "fontSize": FONT_SIZE,
            "fontWeight": "normal",
            "color": faint,
            "offset": 12,
        },
        "axis": {
            "labelFontSize": FONT_SIZE,
            "titleFontSize": FONT_SIZE,
            "labelColor": faint,
            "gridColor": grid,
            "domain": False,
            "ticks": False,
            "labelPadding": 8,
        },
        "axisX": {"domain": True, "domainColor": grid},
        # `color`, not fill or stroke: those would lose against the default of a mark.
        "style": {
            "band": {"color": current, "opacity": 0.18},
            "current": {"color": current, "strokeWidth": 2.5, "strokeCap": "round"},
            "current-point": {
                "color": current,
                "filled": True,
                "opacity": 1,
                "size": 50,
            },
            "current-bar": {"color": current},
            "whole-bar": {"color": pale},
            "previous": {
                "color": previous,
                "strokeWidth": 1.75,
                "strokeDash": [5, 4],
            },
            "previous-point": {"color": previous, "opacity": 1, "size": 50},
            "previous-tick": {"color": text, "thickness": 2, "opacity": 1},
            "error": {"color": current, "strokeWidth": 3, "strokeCap": "round"},
            "no-change": {"color": faint, "thickness": 1.5, "opacity": 1},
            "hover": {"color": current, "opacity": 0},
            "row-label": {"color": text, "fontSize": FONT_SIZE + 1},
            "row-value": {
                "color": text,
                "fontSize": FONT_SIZE + 1,
                "fontWeight": 600,
                "align": "right",
            },
            "row-detail": {"color": faint, "fontSize": FONT_SIZE},
            **line_styles,
        },
    }


# Blue and grey differ in lightness as well as in hue: told apart by any eye, and in
# print. The colours of lines are those of Okabe and Ito's palette, and the grey.
THEMES: Mapping[str, Mapping[str, Any]] = {
    "light": _theme(
        text="#1b1f24",
        faint="#57606a",
        grid="#e3e6ea",
        current="#0072b2",
        pale="#b5d8ec",
        previous="#6e7781",
        lines=("#0072b2", "#d55e00", "#009e73", "#6e7781"),
    ),
    "dark": _theme(
        text="#e6e9ec",
        faint="#a4adb6",
        grid="#31373e",
        current="#56b4e9",
        pale="#28506a",
        previous="#9aa4ae",
        lines=("#56b4e9", "#e69f00", "#009e73", "#9aa4ae"),
    ),
}

"""Small pictures in an asset's metadata, for people who would rather look."""

import base64

import dagster as dg


def bar_plot(
    rows: list[dict[str, object]], x: str, y: str, title: str
) -> dg.MarkdownMetadataValue:
    """Bars of `y` over `x`, as a PNG inside Markdown (a metadata value of Dagster)."""
    import altair as alt

    chart = (
        alt.Chart(alt.Data(values=rows), title=title, width=420, height=140)
        .mark_bar()
        .encode(
            x=alt.X(x, type="ordinal", title=None),
            y=alt.Y(y, type="quantitative", title=None),
        )
    )
    return _as_markdown(chart.to_json(), title)


def calibration_plot(
    points: list[dict[str, float]], title: str
) -> dg.MarkdownMetadataValue:
    """What was said (`mean_score`) against what came of it (`bought_rate`), with the
    interval of each point, beside the line on which both are equal."""
    import altair as alt

    scale = alt.Scale(
        domain=[0, max([0.05, *(max(p["ci_high"], p["mean_score"]) for p in points)])]
    )
    said = alt.X("mean_score", type="quantitative", title="said", scale=scale)
    base = alt.Chart(alt.Data(values=points))
    line = (
        alt.Chart(alt.Data(values=[{"at": at} for at in scale.domain]))
        .mark_line(strokeDash=[4, 4], color="#888")
        .encode(
            x=alt.X("at", type="quantitative", scale=scale),
            y=alt.Y("at", type="quantitative", scale=scale),
        )
    )
    whiskers = base.mark_rule().encode(
        x=said,
        y=alt.Y("ci_low", type="quantitative", title="bought", scale=scale),
        y2="ci_high",
    )
    dots = base.mark_circle(size=50).encode(
        x=said, y=alt.Y("bought_rate", type="quantitative", scale=scale)
    )
    chart = (line + whiskers + dots).properties(title=title, width=240, height=240)
    return _as_markdown(chart.to_json(), title)


def _as_markdown(specification: str, title: str) -> dg.MarkdownMetadataValue:
    import vl_convert

    png = vl_convert.vegalite_to_png(specification, scale=1.0)
    picture = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")

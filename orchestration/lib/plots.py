"""Small pictures in an asset's metadata, for people who would rather look."""

import base64

import dagster as dg


def bar_plot(
    rows: list[dict[str, object]], x: str, y: str, title: str
) -> dg.MarkdownMetadataValue:
    """Bars of `y` over `x`, as a PNG inside Markdown (a metadata value of Dagster)."""
    import altair as alt
    import vl_convert

    chart = (
        alt.Chart(alt.Data(values=rows), title=title, width=420, height=140)
        .mark_bar()
        .encode(
            x=alt.X(x, type="ordinal", title=None),
            y=alt.Y(y, type="quantitative", title=None),
        )
    )
    png = vl_convert.vegalite_to_png(chart.to_json(), scale=1.0)
    picture = base64.b64encode(png).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{picture})")

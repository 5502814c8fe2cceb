"""One file out of a release: template, style, script, charts, and nothing from outside.

Belongs here: putting the page together and writing it in one step. Not here: what is
in a section (`sections`), or how a chart looks (`charts`).
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

import altair as alt
import vl_convert
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nearline.dashboards import charts
from nearline.dashboards.queries import PageData, read_page_data
from nearline.dashboards.sections import (
    comparison,
    experiments,
    headline,
    health,
    over_time,
    segments,
)
from nearline.replacement import replace_file

TITLE = "How the shop is doing"
PAGE_NAME = "index.html"


@dataclass(frozen=True, slots=True)
class SiteSummary:
    """What was written; `notes` say what the data could not fill."""

    page: Path
    release_id: str
    data_up_to: datetime | None
    first_day: date | None
    last_day: date | None
    chart_count: int
    byte_count: int
    notes: tuple[str, ...]


def build_site(published: Path, quality: Path, site: Path) -> SiteSummary:
    """Write `site/index.html` from the published release, replacing it in one step.

    The page of one release is the same to the byte whenever it is built. Raises
    InputError where nothing is published or the release lacks a table of the headline.
    """
    # Once: a run may move the link while the tables are read, and half of the page
    # would then be of another release.
    data = read_page_data(published.resolve(), quality)
    html, chart_count = render_page(data)
    path = site / PAGE_NAME
    encoded = html.encode()
    replace_file(path, lambda file: file.write(encoded))
    periods = data.periods
    return SiteSummary(
        page=path,
        release_id=data.manifest.release_id,
        data_up_to=data.manifest.data_up_to,
        first_day=periods.current.first if periods else None,
        last_day=periods.current.last if periods else None,
        chart_count=chart_count,
        byte_count=len(encoded),
        notes=_notes(data),
    )


def render_page(data: PageData) -> tuple[str, int]:
    """The page as HTML, and how many charts it draws."""
    compared = comparison.comparison(data)
    over_time_figures = over_time.over_time(data, compared)
    segment_figures = segments.segments(data.segments)
    experiment_views = experiments.experiment_views(data.experiments, data.currencies)
    health_figures = health.health(data)
    specifications = {
        figure.id: figure.specification
        for figure in [
            *over_time_figures,
            *segment_figures,
            *(experiment.figure for experiment in experiment_views),
            *health_figures,
        ]
        if figure.specification is not None
    }
    script = _script()
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    html = environment.from_string(_asset("page.html.j2")).render(
        title=TITLE,
        policy=_content_policy(script),
        style=Markup(_asset("page.css")),
        facts=headline.facts(data),
        lead=headline.lead(data, compared),
        notes=headline.notes(data, compared),
        tiles=headline.tiles(data, compared),
        over_time_sentence=over_time.over_time_sentence(compared),
        over_time=over_time_figures,
        segments=segment_figures,
        segment_profiles=segments.segment_profiles(data.segments),
        segment_overlaps=segments.segment_overlaps(
            data.segments, data.segment_overlaps
        ),
        experiments=experiment_views,
        experiments_empty=experiments.experiments_empty(data.experiments),
        freshness=health.freshness(data),
        checks=health.checks_view(data.checks),
        health=health_figures,
        specifications=specifications,
        themes=charts.THEMES,
        script=Markup(script),
    )
    return html, len(specifications)


def _notes(data: PageData) -> tuple[str, ...]:
    """What the page could not show, a line each."""
    said: list[str] = []
    if data.periods is None:
        said.append(comparison.NO_SESSIONS)
    elif data.periods.previous is None:
        said.append("One day of data: no previous period.")
    empty = experiments.experiments_empty(data.experiments)
    if empty is not None:
        said.append(empty)
    if data.checks is None:
        said.append("No check results were recorded for this release.")
    return tuple(said)


def _content_policy(script: str) -> str:
    """Only this very script runs, and nothing is fetched: the browser enforces it.

    So a name from the data could not even with a fault in escaping run as script, and
    a chart that named an address would show nothing rather than tell anybody.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _script() -> str:
    """`page.js` with Vega-Embed and all that it needs, in Altair's version of it."""
    version = ".".join(alt.SCHEMA_VERSION.split(".")[:2])
    # Browsers hash a script with its line ends made one; the policy must match.
    return _one_line_end(vl_convert.javascript_bundle(_asset("page.js"), version))


def _asset(name: str) -> str:
    return _one_line_end(files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")

"""One file out of a release: template, style, script, charts, and nothing from outside.

Belongs here: putting the page together and writing it in one step. Not here: what is
in a section (`sections`), how a chart looks (`charts`), or what all pages share
(`document`).
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from nearline.dashboards.document import render_document
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
    html = render_document(
        "page.html.j2",
        title=TITLE,
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
        experiments_page=next(
            (
                "experiments/index.html"
                for one in data.experiments or ()
                if one.has_page
            ),
            None,
        ),
        freshness=health.freshness(data),
        checks=health.checks_view(data.checks),
        health=health_figures,
        specifications=specifications,
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

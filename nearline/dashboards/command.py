"""`nearline dashboards`: the page anew from what is published, and where it lies."""

import click

from nearline.cli import print_json
from nearline.settings import load_settings


@click.command(
    epilog="Example: nearline dashboards --json",
    short_help="Rebuild the pages from the published tables.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def dashboards(as_json: bool) -> None:
    """Rebuild site/index.html, and a page per experiment, from the published tables.

    The page needs no server and no network: open it, mail it, put it on any web space.
    """
    from nearline.dashboards.experiment_pages import (
        build_experiment_pages,
        can_be_built,
    )
    from nearline.dashboards.page import build_site

    settings = load_settings()
    summary = build_site(settings.published, settings.quality, settings.site)
    if can_be_built(settings):
        build_experiment_pages(settings)
    if as_json:
        print_json(summary)
        return
    click.echo(str(summary.page))
    for note in summary.notes:
        click.echo(f"  {note}", err=True)

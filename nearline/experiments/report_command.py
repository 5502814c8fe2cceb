"""`nearline experiment report KEY`: an experiment of the published release."""

from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json

if TYPE_CHECKING:
    from nearline.dashboards.experiment_pages import ReleasedExperiments
    from nearline.experiments.warehouse_experiment import Analysis


@click.command(epilog="Example: nearline experiment report checkout_reassurance")
@click.argument("key")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def report(key: str, as_json: bool) -> None:
    """Say what the experiment KEY shows, and write its page.

    From the published release, as the experiment's definition asks: health first, then
    the primary metric with its interval. The pages lie in site/experiments.
    """
    from nearline.dashboards.experiment_pages import (
        build_experiment_pages,
        read_experiments,
    )
    from nearline.dashboards.sections.experiments import page_name
    from nearline.settings import load_settings

    settings = load_settings()
    released = read_experiments(settings)
    analysis = find_analysis(released, key)
    build_experiment_pages(settings, released)
    page = settings.site / "experiments" / page_name(key)
    print_analysis(analysis, released, as_json=as_json, extra={"page": str(page)})
    if not as_json:
        click.echo(f"page: {page}")


def print_published(key: str, *, as_json: bool) -> None:
    """What `nearline experiment analyze KEY` prints."""
    from nearline.dashboards.experiment_pages import read_experiments
    from nearline.settings import load_settings

    released = read_experiments(load_settings())
    print_analysis(find_analysis(released, key), released, as_json=as_json)


def find_analysis(released: "ReleasedExperiments", key: str) -> "Analysis":
    """The analysis of `key`; AnalysisError names those that there are."""
    from nearline.experiments.findings import AnalysisError

    for analysis in released.analyses:
        if analysis.tables.key == key:
            return analysis
    there = ", ".join(one.tables.key for one in released.analyses) or "none"
    raise AnalysisError(
        "unknown_experiment",
        f"nobody was exposed to an experiment {key!r} in the published release",
        f"there are: {there}",
    )


def print_analysis(
    analysis: "Analysis",
    released: "ReleasedExperiments",
    *,
    as_json: bool,
    extra: dict[str, Any] | None = None,
) -> None:
    """The analysis in the words, or with the fields, of any other."""
    from nearline.experiments.document import build_document
    from nearline.experiments.report import describe

    asked = (analysis.answer, analysis.question, analysis.conclusion)
    if as_json:
        print_json(
            build_document(*asked)
            | {
                "experiment_key": analysis.tables.key,
                "release_id": released.manifest.release_id,
                "is_defined": analysis.definition is not None,
                **(extra or {}),
            }
        )
        return
    if released.problem is not None:
        click.echo(f"definitions are not followed: {released.problem}", err=True)
    if analysis.definition is not None:
        click.echo(f"{analysis.tables.key}: {analysis.definition.hypothesis.strip()}\n")
    click.echo("\n".join(describe(*asked)))

"""The pages that stakeholders open."""

import dagster as dg

from nearline.settings import load_settings


@dg.asset(
    deps=["published_release"],
    group_name="site",
    owners=["team:measures"],
    kinds={"html"},
    description="Self-contained pages: measures, segments, health, and each experiment.",
)
def dashboard() -> dg.MaterializeResult[None]:
    """Builds the pages from the published release."""
    from nearline.dashboards import build_site
    from nearline.dashboards.experiment_pages import build_experiment_pages

    settings = load_settings()
    summary = build_site(settings.published.resolve(), settings.quality, settings.site)
    pages = build_experiment_pages(settings)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(str(summary.page)),
            "experiment_pages": len(pages),
        }
    )

"""The pages that stakeholders open."""

import dagster as dg

from nearline.settings import load_settings


@dg.asset(
    deps=["published_release"],
    group_name="site",
    owners=["team:measures"],
    kinds={"html"},
    description="One self-contained page: measures, segments, experiments, health.",
)
def dashboard() -> dg.MaterializeResult[None]:
    """Builds the page from the published release."""
    from nearline.dashboards import build_site

    settings = load_settings()
    summary = build_site(settings.published.resolve(), settings.quality, settings.site)
    return dg.MaterializeResult(
        metadata={"page": dg.MetadataValue.path(str(summary.page))}
    )

"""The stakeholders' page: published tables in, one self-contained HTML file out.

What a metric means is SQL and what an experiment shows is `nearline.experiments`; here
numbers are read, drawn and said. Imports no data library until a page is built.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearline.dashboards.page import SiteSummary as SiteSummary
    from nearline.dashboards.page import build_site as build_site


def __getattr__(name: str) -> object:
    # `nearline dashboards --help` imports this package and must not pay for Altair.
    if name in {"SiteSummary", "build_site"}:
        from nearline.dashboards import page

        return getattr(page, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Great Expectations on the candidate: quality and privacy block, drift warns."""

from collections.abc import Iterator

import dagster as dg

from expectations.suites import release_suites
from nearline.publication.tables import published_tables
from nearline.settings import load_settings
from orchestration.lib.checking import BLOCKS, WARNS, of_severity, summarize

_CANDIDATE = dg.AssetKey("candidate_release")


def _tables() -> list[str]:
    dbt_project = load_settings().dbt_project
    published = {table.name for table in published_tables(dbt_project)}
    return sorted(published | {suite.table for suite in release_suites(dbt_project)})


def _specs() -> Iterator[dg.AssetCheckSpec]:
    for table in _tables():
        yield dg.AssetCheckSpec(
            f"quality_{table}",
            asset=_CANDIDATE,
            blocking=True,
            description=f"Schema, keys, ranges and identities of {table}.",
        )
        yield dg.AssetCheckSpec(
            f"privacy_{table}",
            asset=_CANDIDATE,
            blocking=True,
            description=f"No direct identifier and nothing unconsented in {table}.",
        )
    yield dg.AssetCheckSpec(
        "drift", asset=_CANDIDATE, description="Shares that are worth a look."
    )


@dg.multi_asset_check(name="release_expectations", specs=list(_specs()))
def release_expectations() -> Iterator[dg.AssetCheckResult]:
    """Checks the candidate and writes the Data Docs and `checks.json`."""
    from expectations.runner import check_release

    settings = load_settings()
    results = check_release(
        settings.candidate.resolve(), settings.quality, settings.site / "data_docs"
    )
    blocking = of_severity(results, "block")
    for table in _tables():
        for topic in ("quality", "privacy"):
            found = [r for r in blocking if r.table == table and r.topic == topic]
            yield summarize(_CANDIDATE, f"{topic}_{table}", found, BLOCKS)
    yield summarize(_CANDIDATE, "drift", of_severity(results, "warn"), WARNS)

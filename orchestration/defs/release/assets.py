"""From the warehouse to what everybody reads: a candidate, its checks, publication."""

from datetime import UTC, datetime

import dagster as dg

from nearline.publication.releases import (
    new_release_id,
    publish,
    read_manifest,
    remove_old_releases,
    write_candidate,
)
from nearline.publication.tables import PUBLISHED_TABLES
from nearline.settings import load_settings
from orchestration.lib.code_version import code_version
from orchestration.lib.locking import RunLock
from orchestration.lib.plots import bar_plot

_OWNERS = ["team:operations"]


@dg.asset(
    deps=[table.name for table in PUBLISHED_TABLES],
    group_name="release",
    owners=_OWNERS,
    kinds={"parquet"},
    description="All published tables of one run as Parquet, not yet seen by anybody.",
)
def candidate_release(run_lock: RunLock) -> dg.MaterializeResult[None]:
    """Writes the candidate; unchanged days of large facts are linked, not copied."""
    settings = load_settings()
    now = datetime.now(UTC)
    release = write_candidate(
        settings, new_release_id(settings, now), code_version(), now
    )
    manifest = read_manifest(release)
    assert manifest is not None
    rows = [{"table": name, "rows": t.rows} for name, t in manifest.tables.items()]
    return dg.MaterializeResult(
        metadata={
            "release": manifest.release_id,
            "data_up_to": manifest.data_up_to or "no data",
            "dagster/row_count": sum(t.rows for t in manifest.tables.values()),
            "days_written": sum(t.written_days for t in manifest.tables.values()),
            "days_linked": sum(t.linked_days for t in manifest.tables.values()),
            "rows_by_table": bar_plot(rows, "table", "rows", "Rows by table"),
        }
    )


@dg.asset(
    deps=[candidate_release],
    group_name="release",
    owners=_OWNERS,
    description="The link that readers follow, renamed onto the checked candidate.",
)
def published_release(run_lock: RunLock) -> dg.MaterializeResult[None]:
    """Publishes in one step, and removes releases nobody needs any more."""
    settings = load_settings()
    release = settings.candidate.resolve()
    publish(settings, release)
    removed = remove_old_releases(settings)
    return dg.MaterializeResult(
        metadata={"release": release.name, "removed_releases": len(removed)}
    )

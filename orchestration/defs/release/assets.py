"""From the warehouse to what everybody reads: a candidate, its checks, publication."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from nearline.publication.changes import compare_releases, write_changes
from nearline.publication.live_files import ACCOUNTS, ARRIVED_FACTS
from nearline.publication.rebuilds import is_rebuilding, swap_in_rebuild
from nearline.publication.releases import (
    new_release_id,
    publish,
    read_manifest,
    remove_old_releases,
    write_candidate,
)
from nearline.publication.tables import published_tables
from nearline.settings import Settings, load_settings
from orchestration.lib.code_version import code_version
from orchestration.lib.locking import RunLock
from orchestration.lib.plots import bar_plot

_OWNERS = ["team:operations"]


# What a run reads of the release before it, as dbt's source `published` names it (ADR 31).
release_before = [
    dg.AssetSpec(
        ["published", table],
        group_name="release",
        owners=_OWNERS,
        kinds={"parquet"},
        description=f"{table} as the release before the run has it.",
    )
    for table in (
        "bridge_identities",
        "fct_identity_links",
        "ftr_person__segments",
        "ftr_visitor__propensity",
    )
]


class CandidateConfig(dg.Config):
    """Whether to compare the candidate with what is published; a rebuild always is."""

    is_compared: bool = False


@dg.asset(
    deps=[
        *(table.name for table in published_tables(load_settings().dbt_project)),
        # How live events become facts, and who is whose, goes along.
        ARRIVED_FACTS,
        ACCOUNTS,
    ],
    group_name="release",
    owners=_OWNERS,
    kinds={"parquet"},
    description="All published tables of one run as Parquet, not yet seen by anybody.",
)
def candidate_release(
    config: CandidateConfig, run_lock: RunLock
) -> dg.MaterializeResult[None]:
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
            **(
                _changes(settings, release)
                if config.is_compared or is_rebuilding(settings)
                else {}
            ),
        }
    )


def _changes(settings: Settings, release: Path) -> dict[str, dg.MetadataValue]:
    """Compares with what is published, if anything is; writes it, and counts by table.

    No keys: Dagster's history is out of erasure's reach.
    """
    if read_manifest(settings.published) is None:
        return {}
    changes = compare_releases(
        settings.published.resolve(), release, published_tables(settings.dbt_project)
    )
    write_changes(settings, changes)
    return {
        "changes": dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {
                        "table": table.table,
                        "rows_before": table.rows_before,
                        "rows_after": table.rows_after,
                        "added": table.added,
                        "removed": table.removed,
                        "changed": table.changed,
                    }
                )
                for table in changes.tables
            ]
        )
    }


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
    # Before the link: a run killed between the two is followed by one that publishes from
    # the new warehouse. The other way round, it would go on with the old.
    is_rebuilt = swap_in_rebuild(settings)
    publish(settings, release)
    removed = remove_old_releases(settings)
    return dg.MaterializeResult(
        metadata={
            "release": release.name,
            "removed_releases": len(removed),
            "is_rebuilt": is_rebuilt,
        }
    )

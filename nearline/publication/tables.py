"""Which tables are published, in which form, and how to read one from a release."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One table of a release.

    `day_column` names the date by which a large fact is cut into a folder of days, so
    that an unchanged day is hard-linked from the release before; `key` identifies a row
    of such a fact.
    """

    name: str
    day_column: str | None = None
    key: str | None = None


PUBLISHED_TABLES = (
    PublishedTable("fct_events", "event_date", "event_id"),
    PublishedTable("fct_page_views", "page_view_date", "page_view_id"),
    PublishedTable("fct_sessions", "session_date", "session_id"),
    PublishedTable("fct_orders"),
    PublishedTable("fct_order_items"),
    PublishedTable("dim_persons"),
    PublishedTable("dim_items"),
    PublishedTable("bridge_identities"),
    PublishedTable("fct_identity_links"),
    PublishedTable("fct_segments"),
    PublishedTable("fct_exposures"),
    PublishedTable("fct_experiment_metrics"),
    PublishedTable("fct_experiment_results"),
    PublishedTable("fct_daily_metrics"),
    PublishedTable("ftr_visitor__activity_5m"),
    PublishedTable("ftr_visitor__activity_1h"),
    PublishedTable("ftr_visitor__activity_24h"),
    PublishedTable("ftr_visitor__activity_7d"),
    PublishedTable("ftr_visitor__activity_30d"),
    PublishedTable("ftr_visitor__latest"),
    PublishedTable("ftr_item__activity_24h"),
    PublishedTable("ftr_item__activity_7d"),
    PublishedTable("ops_quarantine"),
    PublishedTable("ops_lateness"),
    PublishedTable("ops_lateness_daily"),
    PublishedTable("ops_collection_audit"),
)

INTERNAL_COLUMNS = frozenset({"change_seq"})
"""Bookkeeping of incremental models; it tells of runs, not of behaviour."""


def table_path(release: Path, table: str) -> Path:
    """Where `table` is in `release`: a Parquet file, or a folder of days."""
    return release / f"{table}.parquet"


def scan(release: Path, table: str) -> str:
    """SQL (DuckDB) that reads `table` from a release or from `published`.

    The link is followed here and now: files listed before a publication and opened
    after it would be those of two releases.
    """
    path = table_path(release.resolve(), table)
    quoted = str(path).replace("'", "''")
    if path.is_dir():
        return (
            f"read_parquet('{quoted}/*/*.parquet', "
            "hive_partitioning = false, union_by_name = true)"
        )
    return f"read_parquet('{quoted}')"

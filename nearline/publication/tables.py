"""Which tables are published, in which form, and how to read one from a release."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nearline.errors import InputError
from nearline.feature_views import find_feature_views
from nearline.sql_text import literal, parquet_rows

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """One table of a release.

    `day_column` names the date by which a large fact is cut into a folder of days, so
    that an unchanged day is hard-linked from the release before; `key` names the columns
    that identify a row.
    """

    name: str
    key: tuple[str, ...]
    day_column: str | None = None


FACTS_AND_MEASURES = (
    PublishedTable("fct_events", ("event_id",), "event_date"),
    PublishedTable("fct_page_views", ("page_view_id",), "page_view_date"),
    PublishedTable("fct_sessions", ("session_id",), "session_date"),
    PublishedTable("fct_orders", ("source", "order_id")),
    PublishedTable("fct_order_items", ("order_item_id",)),
    PublishedTable("dim_persons", ("person_id",)),
    PublishedTable("dim_items", ("item_id",)),
    PublishedTable("bridge_identities", ("identifier_type", "identifier")),
    PublishedTable(
        "fct_identity_links",
        (
            "identifier_type",
            "identifier",
            "other_identifier_type",
            "other_identifier",
        ),
    ),
    PublishedTable("dim_consents", ("visitor_id",)),
    PublishedTable("fct_segments", ("segment_period_id",)),
    PublishedTable("fct_exposures", ("experiment_key", "unit_id")),
    PublishedTable("fct_experiment_outcomes", ("experiment_key", "unit_id")),
    PublishedTable(
        "fct_experiment_metrics",
        ("experiment_key", "variant_key", "metric_name", "exposure_date"),
    ),
    PublishedTable(
        "fct_experiment_days",
        ("experiment_key", "variant_key", "metric_name", "metric_date"),
    ),
    PublishedTable(
        "fct_experiment_segments",
        (
            "experiment_key",
            "variant_key",
            "metric_name",
            "dimension",
            "dimension_value",
        ),
    ),
    PublishedTable(
        "fct_experiment_values",
        ("experiment_key", "variant_key", "metric_name", "unit_value"),
    ),
    PublishedTable(
        "fct_experiment_results", ("experiment_key", "metric_name", "variant_key")
    ),
    PublishedTable("fct_decisions", ("decision_id",)),
    PublishedTable("fct_shown_items", ("shown_item_id",)),
    PublishedTable(
        "fct_daily_metrics", ("metric_date", "channel", "device_class", "segment")
    ),
    PublishedTable(
        "ops_quarantine",
        ("landing_id", "source_file", "source_row", "quarantined_stage", "event_name"),
    ),
    PublishedTable(
        "ops_lateness", ("source", "received_date", "delay_bucket", "is_late")
    ),
    PublishedTable("ops_lateness_daily", ("source", "occurred_date")),
    PublishedTable("ops_parity", ("served_date", "view_name", "feature", "speed")),
    PublishedTable(
        "ops_collection_audit",
        (
            "source",
            "event_date",
            "event_name",
            "consent_basis",
            "has_analytics_consent",
            "has_personalization_consent",
            "has_marketing_consent",
            "consent_notice_version",
        ),
    ),
)
"""Tables that are there whatever features there are; see `published_tables`."""

INTERNAL_COLUMNS = frozenset({"change_seq", "event_key"})
"""Bookkeeping of incremental models; it tells of runs, not of behaviour."""


def published_tables(dbt_project: Path) -> tuple[PublishedTable, ...]:
    """Every table of a release: those above, and one for each feature view.

    Feature tables are found in the project's YAML and not in the warehouse: there, a
    table outlives the model that was taken away, and is missing where a build failed.

    Raises:
        InputError: a feature view is described in a way that cannot be served.
    """
    views = find_feature_views(dbt_project)
    return (
        *FACTS_AND_MEASURES,
        *(PublishedTable(view.model, view.key) for view in views),
    )


def open_release(published: Path) -> "tuple[duckdb.DuckDBPyConnection, Path]":
    """A connection, and the folder of the release at `published`; for `scan`.

    Raises:
        InputError: nothing is published yet.
    """
    import duckdb

    release = published.resolve()
    if not release.is_dir():
        raise InputError("nothing is published yet; run `nearline run` first")
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    return connection, release


def table_path(release: Path, table: str) -> Path:
    """Where `table` is in `release`: a Parquet file, or a folder of days."""
    return release / f"{table}.parquet"


def scan(release: Path, table: str) -> str:
    """SQL (DuckDB) that reads `table` from a release or from `published`.

    The link is followed here and now: files listed before a publication and opened
    after it would be those of two releases.
    """
    path = table_path(release.resolve(), table)
    if path.is_dir():
        return (
            f"read_parquet({literal(path / '*/*.parquet')}, "
            "hive_partitioning = false, union_by_name = true)"
        )
    return parquet_rows(path)

"""Features into the online store, by key, while reads go on."""

import dagster as dg

from nearline.settings import load_settings
from orchestration.lib.locking import RunLock


@dg.asset(
    deps=["published_release"],
    group_name="serving",
    owners=["team:features"],
    kinds={"feast"},
    description="Latest feature values by visitor and item, as Feast serves them.",
)
def online_store(
    context: dg.AssetExecutionContext, run_lock: RunLock
) -> dg.MaterializeResult[None]:
    """Applies the feature repository and writes the keys whose values changed."""
    from nearline.online import refresh_online_store
    from nearline.online.fill_mark import mark_filled

    settings = load_settings()
    release = settings.published.resolve()
    views = refresh_online_store(settings, release)
    mark_filled(settings, release)
    table = dg.MetadataValue.table(
        [
            dg.TableRecord(
                {
                    "view": view.view,
                    "rows_written": view.rows_written,
                    "rows_unchanged": view.rows_unchanged,
                    "rows_deleted": view.rows_deleted,
                    "rows_expired": view.rows_expired,
                    "seconds": round(view.seconds, 3),
                }
            )
            for view in views
        ]
    )
    expired = sum(view.rows_expired for view in views)
    if expired:
        context.log.warning(
            f"{expired:,} rows are older than their view's limit and not online"
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(v.rows_written + v.rows_unchanged for v in views),
            "rows_written": sum(view.rows_written for view in views),
            "rows_expired": expired,
            "views": table,
        }
    )

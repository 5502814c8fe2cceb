"""The job that makes everything, and when it runs."""

from datetime import datetime
from typing import Any

import dagster as dg

JOB_NAME = "nearline"
BACKFILL_JOB_NAME = "backfill"

# No source that is imported has older events.
_FIRST_DAY = "2010-01-01"
_MOST_SECONDS_IN_QUEUE = 12 * 3600

# Models are trained once a day, not with every run: nothing of a release hangs on them.
_OF_EVERY_RUN = dg.AssetSelection.all() - dg.AssetSelection.groups("models")

nearline_job = dg.define_asset_job(
    JOB_NAME,
    selection=_OF_EVERY_RUN,
    description="Raw events to tables, features, experiment results and pages.",
)

daily = dg.ScheduleDefinition(
    name="daily",
    job=nearline_job,
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    description="Every night, when the day's late events have mostly arrived.",
)


def backfill_config(
    first_day: str, last_day: str, source: str | None = None
) -> dict[str, Any]:
    """Run config of a backfill: the days are read again, and the change is told."""
    return {
        "behaviour_models": {
            "config": {
                "backfill_from": first_day,
                "backfill_to": last_day,
                "backfill_source": source,
            }
        },
        "candidate_release": {"config": {"is_compared": True}},
    }


@dg.daily_partitioned_config(start_date=_FIRST_DAY, end_offset=1)
def _one_day(start: datetime, _end: datetime) -> dict[str, Any]:
    day = start.date().isoformat()
    return {
        "ops": backfill_config(day, day),
        # Several days are as many runs, and one at a time holds the warehouse.
        "resources": {"run_lock": {"config": {"wait_seconds": _MOST_SECONDS_IN_QUEUE}}},
    }


backfill_job = dg.define_asset_job(
    BACKFILL_JOB_NAME,
    selection=_OF_EVERY_RUN,
    config=_one_day,
    description="Reads the events of a day again from raw Parquet, as after a mended "
    "mapping, and makes all that hangs on them anew.",
)

"""The job that makes everything, and when it runs."""

from datetime import datetime
from typing import Any

import dagster as dg

from nearline.propensity.sizes import WEEKLY_ROWS
from orchestration.defs.learning.propensity import GROUP as MODELS

JOB_NAME = "nearline"
BACKFILL_JOB_NAME = "backfill"
LEARNING_JOB_NAME = "learning"

# No source that is imported has older events.
_FIRST_DAY = "2010-01-01"
_MOST_SECONDS_IN_QUEUE = 12 * 3600

# Models are trained by a job of their own: what they learn from is known days later.
_EVERYTHING_BUT_MODELS = dg.AssetSelection.all() - dg.AssetSelection.groups(MODELS)

nearline_job = dg.define_asset_job(
    JOB_NAME,
    selection=_EVERYTHING_BUT_MODELS,
    description="Raw events to tables, features, experiment results and pages.",
)

daily = dg.ScheduleDefinition(
    name="daily",
    job=nearline_job,
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    description="Every night, when the day's late events have mostly arrived.",
)

learning_job = dg.define_asset_job(
    LEARNING_JOB_NAME,
    selection=dg.AssetSelection.groups(MODELS),
    description="Models trained on the published release, judged, and promoted.",
)

daily_learning = dg.ScheduleDefinition(
    name="daily_learning",
    job=learning_job,
    cron_schedule="15 4 * * 1-6",
    execution_timezone="UTC",
    description="Every night after the run, on a sample of the moments.",
)

weekly_learning = dg.ScheduleDefinition(
    name="weekly_learning",
    job=learning_job,
    cron_schedule="15 4 * * 0",
    execution_timezone="UTC",
    run_config={"ops": {"propensity_models": {"config": {"max_rows": WEEKLY_ROWS}}}},
    description="On Sundays, on ten times as many moments.",
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
    selection=_EVERYTHING_BUT_MODELS,
    config=_one_day,
    description="Reads the events of a day again from raw Parquet, as after a mended "
    "mapping, and makes all that hangs on them anew.",
)

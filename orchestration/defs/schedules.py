"""The job that makes everything, and when it runs."""

import dagster as dg

JOB_NAME = "nearline"

nearline_job = dg.define_asset_job(
    JOB_NAME,
    selection=dg.AssetSelection.all(),
    description="Raw events to tables, features, experiment results and pages.",
)

daily = dg.ScheduleDefinition(
    name="daily",
    job=nearline_job,
    cron_schedule="15 3 * * *",
    execution_timezone="UTC",
    description="Every night, when the day's late events have mostly arrived.",
)

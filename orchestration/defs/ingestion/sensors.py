"""Asks for a run when the event log holds what is not landed yet."""

from datetime import UTC, datetime

import dagster as dg

from nearline.errors import LockedError
from nearline.landing.from_log import find_unlanded
from nearline.log import LogUnavailableError
from nearline.settings import load_settings
from orchestration.defs.schedules import nearline_job
from orchestration.lib.locking import hold_run_lock

# Often enough for tables that are minutes old; a run takes the warehouse for itself.
_SECONDS_BETWEEN_LOOKS = 60


@dg.sensor(
    name="event_log",
    job=nearline_job,
    minimum_interval_seconds=_SECONDS_BETWEEN_LOOKS,
    description="Runs the job when the event log is ahead of what is landed.",
)
def event_log() -> dg.RunRequest | dg.SkipReason:
    """One request for each position, and again every hour while runs fail before it."""
    settings = load_settings()
    try:
        # The lock and not Dagster's list of runs: a killed run stays on that as started.
        with hold_run_lock(settings):
            pass
        unlanded = find_unlanded(settings)
    except LockedError:
        return dg.SkipReason("a run is under way")
    except LogUnavailableError as problem:
        return dg.SkipReason(f"the event log cannot be read: {problem}")
    if not unlanded:
        return dg.SkipReason("all that the event log holds is landed")
    places = [
        f"{topic}/{partition} from {offset}"
        for (topic, partition), offset in sorted(unlanded.items())
    ]
    hour = datetime.now(UTC).strftime("%Y-%m-%d %H h")
    return dg.RunRequest(run_key=f"{', '.join(places)}, {hour}")

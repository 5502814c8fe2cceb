"""`nearline run`: the Dagster job, in this process, with a display and a summary.

There is no second pipeline beside the job: this file starts it and words its outcome.
"""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from nearline.cli import print_json
from nearline.errors import LockedError, NearlineError, QualityError
from nearline.settings import Settings, load_settings

if TYPE_CHECKING:
    from orchestration.lib.backfill import Backfill

_MOST_FAILURES_SHOWN = 10


@click.command(
    epilog="Example: nearline ingest shop/events && nearline run. After a mapping was "
    "mended: nearline run --from 2026-03-01 --to 2026-03-07 --source shop_web",
    short_help="Raw events to tables, features, results and pages.",
)
@click.option(
    "--full-refresh",
    is_flag=True,
    help="Rebuild every table from raw Parquet, beside those in use.",
)
@click.option(
    "--from",
    "first_day",
    metavar="DAY",
    help="Read again what occurred from this day on (UTC).",
)
@click.option(
    "--to", "last_day", metavar="DAY", help="Last day to read again, included."
)
@click.option("--source", help="Read again what this source sent; else every source.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def run(
    full_refresh: bool,
    first_day: str | None,
    last_day: str | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Build all tables, check them, publish them, refresh online features and pages.

    A run that fails leaves what is published and what is online as it was. One run
    at a time: a second one ends at once with exit code 3. A failed check: 4.
    """
    settings = load_settings()
    prepare_environment(settings)
    # Imported here: loading the graph takes seconds, which `--help` need not pay.
    from orchestration.lib.backfill import check_source, read_backfill
    from orchestration.lib.locking import hold_run_lock

    today = datetime.now(UTC).date()
    backfill = read_backfill(first_day, last_day, source, full_refresh, today)
    if backfill is not None:
        check_source(settings, backfill.source)

    with hold_run_lock(settings):
        pass  # fails early, in words; the run itself takes the lock for its whole length
    outcome = _execute(settings, full_refresh, backfill, is_quiet=as_json)
    if not outcome.success:
        raise _explain(outcome)
    from orchestration.summary import summarize_release

    summary = summarize_release(settings)
    if as_json:
        print_json(asdict(summary))
    else:
        click.echo(summary.in_words())


def prepare_environment(settings: Settings) -> None:
    """Sets what child processes and libraries read: home, and no telemetry."""
    settings.dagster.mkdir(parents=True, exist_ok=True)
    configuration = settings.dagster / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(
            "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
            # One run holds the warehouse; others queue up instead of waiting for it.
            "concurrency:\n  runs:\n    max_concurrent_runs: 1\n"
        )
    os.environ["NEARLINE_HOME"] = str(settings.home)
    os.environ["DAGSTER_HOME"] = str(settings.dagster)
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    os.environ["FEAST_USAGE"] = "false"


def _execute(  # type: ignore[no-untyped-def]
    settings: Settings,
    full_refresh: bool,
    backfill: "Backfill | None",
    is_quiet: bool,
):
    import contextlib
    import warnings

    import dagster as dg

    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    warnings.filterwarnings("ignore", category=dg.PreviewWarning)
    from orchestration.definitions import defs
    from orchestration.defs.schedules import JOB_NAME, backfill_config
    from orchestration.lib.display import run_display

    ops: dict[str, Any] = {
        "behaviour_models": {"config": {"full_refresh": full_refresh}}
    }
    if backfill is not None:
        ops = backfill_config(
            backfill.first_day.isoformat(),
            backfill.last_day.isoformat(),
            backfill.source,
        )
    with (
        run_display(is_quiet),
        # What dbt and the libraries print is for whoever looks into a failure.
        (settings.home / "run.log").open("w") as log,
        contextlib.redirect_stdout(log),
        dg.DagsterInstance.get() as instance,
    ):
        return (
            defs()
            .resolve_job_def(JOB_NAME)
            .execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"progress": {}}, "ops": ops},
            )
        )


def _explain(outcome) -> NearlineError:  # type: ignore[no-untyped-def]
    """The failure of a run in one message: failed checks, else the failed step."""
    broken = [
        check
        for check in outcome.get_asset_check_evaluations()
        if not check.passed and check.blocking
    ]
    if broken:
        words = [
            f"{check.asset_key.to_user_string()}, {check.check_name}: "
            f"{check.description}"
            for check in broken[:_MOST_FAILURES_SHOWN]
        ]
        return QualityError(
            "nothing was published, a blocking check failed\n  " + "\n  ".join(words)
        )
    is_published = any(
        event.is_step_success and event.step_key == "published_release"
        for event in outcome.all_events
    )
    for event in outcome.all_events:
        if event.is_step_failure:
            return _step_failure(
                event.step_key, event.step_failure_data.error, is_published
            )
        if event.is_failure and not event.is_step_event:
            data = event.event_specific_data
            error = getattr(data, "error", None)
            if error is not None:
                return _step_failure("start", error, is_published)
    return NearlineError("the run failed; see the events in `dagster dev`")


def _step_failure(step, error, is_published) -> NearlineError:  # type: ignore[no-untyped-def]
    cause = error
    # One of ours says what to do; what is behind it is for developers.
    while cause.cause is not None and not cause.message.startswith("nearline."):
        cause = cause.cause
    message = cause.message.strip().splitlines()
    text = message[0] if len(message) == 1 else "\n  ".join(message)
    if cause.cls_name == LockedError.__name__:
        return LockedError(text.removeprefix("nearline.errors.LockedError: "))
    if text.startswith("nearline."):
        text = text.partition(": ")[2]
    effect = (
        "the tables are published, what follows this step is as before"
        if is_published
        else "nothing was published"
    )
    return NearlineError(f"step {step} failed, {effect}: {text}")

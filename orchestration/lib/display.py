"""What a person sees of a run: a line per finished step, a spinner on the current one."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from rich.console import Console
from rich.status import Status

from orchestration.lib.progress import PROGRESS_LOGGER

_WORDS = {
    "behaviour_models": "facts and features (dbt)",
    "learned_models": "segments and results (dbt)",
    "raw_nearline_expectations": "raw files (Great Expectations)",
    "raw_rees46_expectations": "raw REES46 files (Great Expectations)",
    "learned__person_clusters": "clusters (K-Means)",
    "learned__visitor_scores": "scores (propensity)",
    "learned__experiment_results": "experiments (inference)",
    "candidate_release": "candidate release",
    "release_expectations": "the candidate (Great Expectations)",
    "candidate_release_served_values_match": "served values against the candidate",
    "published_release": "publication",
    "online_store": "online features (Feast)",
    "dashboard": "dashboard",
}


class _Handler(logging.Handler):
    """Follows the steps of one run on the console."""

    def __init__(self, console: Console, status: Status) -> None:
        super().__init__(logging.DEBUG)
        self.console = console
        self.status = status
        self.started: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", None) or {}
        event = meta.get("dagster_event")
        step = meta.get("step_key") or getattr(event, "step_key", None)
        if event is None:
            message = str(meta.get("orig_message", ""))
            if step in _WORDS and message.startswith("built "):
                self.status.update(f"{_WORDS[step]}: {message}")
            return
        if event.event_type == dg.DagsterEventType.STEP_START:
            self.started[step] = time.monotonic()
            self.status.update(_WORDS.get(step, step))
        elif event.event_type == dg.DagsterEventType.STEP_SUCCESS and step in _WORDS:
            seconds = time.monotonic() - self.started.get(step, time.monotonic())
            self.console.print(f"  [green]✓[/] {_WORDS[step]} [dim]{seconds:.1f} s[/]")
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE:
            self.console.print(f"  [red]✗[/] {_WORDS.get(step, step)}")


@contextmanager
def run_display(is_quiet: bool) -> Iterator[None]:
    """Shows the steps of the run inside on standard error."""
    console = Console(stderr=True, quiet=is_quiet, highlight=False)
    logger = logging.getLogger(PROGRESS_LOGGER)
    with console.status("starting", refresh_per_second=4) as status:
        handler = _Handler(console, status)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
    sys.stderr.flush()

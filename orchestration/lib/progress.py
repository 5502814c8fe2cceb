"""Turns a run's events into lines that a person follows.

A Dagster logger hands every event of the run to the Python logger below; `nearline run`
listens there. Other runs (the web server's) log to the console as Dagster does.
"""

import logging

import dagster as dg

PROGRESS_LOGGER = "nearline.progress"


@dg.logger(description="Events of the run, for the display of `nearline run`.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """The Python logger that the display listens to."""
    logger = logging.getLogger(PROGRESS_LOGGER)
    logger.setLevel(logging.DEBUG)  # Dagster logs the success of a step as debug
    logger.propagate = False
    return logger

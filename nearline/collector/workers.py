"""The processes of an HTTP service of ours: started, settled, and their shared numbers."""

import gc
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from nearline.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., None])

# prometheus_client reads it when it is imported, and workers are forks of this process:
# nothing that imports it may be imported here.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS_TO_FINISH = 15
# Requests that wait in one worker; more get no answer until some are done.
_MOST_REQUESTS_AT_ONCE = 1_000
_GARBAGE_THRESHOLDS = (20_000, 20, 50)
_SWITCH_SECONDS = 0.0005


def listens(port: int) -> Callable[[_Command], _Command]:
    """Options of a command that serves: `host`, `port`, `workers` and `as_json`."""

    def add(command: _Command) -> _Command:
        for option in (
            click.option(
                "--json", "as_json", is_flag=True, help="Print where it is as JSON."
            ),
            click.option(
                "--workers",
                type=click.IntRange(1, 64),
                default=1,
                show_default=True,
                help="Processes; limits per key count in each.",
            ),
            click.option(
                "--port",
                type=click.IntRange(1, 65_535),
                default=port,
                show_default=True,
            ),
            click.option("--host", default="127.0.0.1", show_default=True),
        ):
            command = option(command)
        return command

    return add


def names_key_holder(command: _Command) -> _Command:
    """Options of a command that makes a key: `source`, `origins`, `trust`, `as_json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the key as JSON."),
        click.option(
            "--trust",
            type=click.Choice(["browser", "server"]),
            default="browser",
            show_default=True,
            help="A server's key is a secret, and may do more.",
        ),
        click.option(
            "--origin",
            "origins",
            multiple=True,
            metavar="URL",
            help="Origin whose pages may use the key; may be given several times.",
        ),
        click.option(
            "--source",
            required=True,
            help="Name of the source that the visitors come from, such as web.",
        ),
    ):
        command = option(command)
    return command


def address(host: str, port: int) -> str:
    """The URL of a service that listens there."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(settings: Settings, app: str, host: str, port: int, workers: int) -> None:
    """Serves until stopped; what was begun is finished first.

    Args:
        app: `module:function` that makes the application in each worker.
    """
    # Whoever imports Feast hands a folder of its own on to all that it starts: there, one
    # service would count what others did.
    os.environ.pop(_METRICS_FOLDER, None)
    if workers > 1:
        os.environ[_METRICS_FOLDER] = _empty_metrics_folder(settings, port)
    os.environ["NEARLINE_HOME"] = str(settings.home)
    # Of libraries that are loaded from here on; see `settle_worker`.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from granian import Granian
    from granian.constants import Interfaces

    options: dict[str, Any] = {
        "interface": Interfaces.ASGI,
        "factory": True,
        "workers": workers,
        "websockets": False,
        "log_access": False,
        "log_level": "warning",
        "backpressure": _MOST_REQUESTS_AT_ONCE,
        "workers_kill_timeout": _SECONDS_TO_FINISH,
        # A worker that dies must not take the door with it. One that dies again within
        # seconds does: then whoever supervises this process has to know.
        "respawn_failed_workers": True,
    }
    Granian(app, address=host, port=port, **options).serve()


def settle_worker() -> None:
    """Called once everything is imported, in each worker."""
    from threadpoolctl import (  # type: ignore[import-untyped, unused-ignore]
        threadpool_limits,
    )

    # Small products on several threads wait for one another longer than they take, and the
    # threads of OpenBLAS spin for milliseconds after each: half the time of a processor.
    threadpool_limits(1, "blas")
    # What is loaded by now stays: the collector of garbage need not go through it at
    # every hundredth event.
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    # The log's thread waits for the interpreter between two rows; at the default of
    # 5 ms an append beside a busy event loop takes tens of milliseconds.
    sys.setswitchinterval(_SWITCH_SECONDS)


def _empty_metrics_folder(settings: Settings, port: int) -> str:
    folder = settings.home / "metrics" / str(port)
    # Counts begin anew with the process, as Prometheus expects.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return str(folder)

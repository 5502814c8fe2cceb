"""`nearline up`: the embedded whole in one terminal, a process for each part."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator

import click

from nearline.errors import InputError, NearlineError
from nearline.live.parts import NEARLINE, part
from nearline.publication.releases import read_manifest
from nearline.settings import load_settings

_POLL_SECONDS = 0.5


@click.command(
    epilog="Example: nearline up --port 8080 --run-every 15",
    short_help="Run collector, live features, decisions and the run together.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option(
    "--decisions-port",
    type=click.IntRange(0, 65_535),
    default=8090,
    show_default=True,
    metavar="PORT",
    help="Where `nearline serve` answers what to show; 0 leaves it out.",
)
@click.option(
    "--run-every",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="MINUTES",
    help="Run `nearline run` so often; 0 leaves that to you or to Dagster's schedule.",
)
def up(host: str, port: int, decisions_port: int, run_every: int) -> None:
    """Take events over HTTP, keep online features seconds behind, and answer what to show
    whom, until stopped.

    The first time, when nothing is published yet, `nearline run` comes first. Triggers
    run, too, where there are some.
    """
    settings = load_settings()
    if decisions_port == port:
        raise InputError(
            f"--decisions-port {port} is the collector's; give each a port of its own, "
            "or 0 to leave decisions out"
        )
    if read_manifest(settings.published) is None:
        click.echo("nothing is published yet: running once", err=True)
        subprocess.run([NEARLINE, "run"], check=True)
    with _stop_on_sigterm(), contextlib.ExitStack() as started:
        parts = {
            "collector": started.enter_context(
                part("collector", "--host", host, "--port", str(port))
            ),
            "live": started.enter_context(part("live")),
            # Waits for a model where there is none yet.
            "recommend live": started.enter_context(part("recommend", "live")),
        }
        if decisions_port:
            parts["serve"] = started.enter_context(
                part("serve", "--host", host, "--port", str(decisions_port))
            )
        if any(settings.triggers.glob("*.yml")):
            parts["triggers run"] = started.enter_context(part("triggers", "run"))
        next_run = time.monotonic() + run_every * 60
        while True:
            time.sleep(_POLL_SECONDS)
            for name, process in parts.items():
                if process.poll() is not None:
                    raise NearlineError(
                        f"`nearline {name}` ended with {process.returncode}; "
                        "the other parts were stopped"
                    )
            if run_every and time.monotonic() >= next_run:
                # A run that fails says so itself, and what is published stays.
                subprocess.run([NEARLINE, "run"], check=False)
                next_run = time.monotonic() + run_every * 60


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """SIGTERM ends `up` the way Ctrl+C does: parts are stopped, then it ends."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

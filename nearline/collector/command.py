"""`nearline collector`: serves the collector, and makes write keys for it."""

import os
import shutil
from pathlib import Path
from typing import Any

import click

from nearline.cli import print_json
from nearline.collector.config import (
    DEVELOPMENT_KEY,
    CollectorConfig,
    Trust,
    add_write_key,
    load_collector_config,
)
from nearline.settings import Settings, load_settings

_APP = "nearline.collector.app:create_app_from_environment"
# prometheus_client reads it when it is imported, and workers are forks of this process:
# nothing that imports it may be imported here.
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SECONDS_TO_FINISH = 15
# Requests that wait in one worker; more get no answer until some are done.
_MOST_REQUESTS_AT_ONCE = 1_000


@click.group(
    invoke_without_command=True,
    epilog="Example: nearline collector --port 8080 --workers 2",
    short_help="Take events over HTTP.",
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes; limits per key count in each.",
)
@click.option("--json", "as_json", is_flag=True, help="Print where it is as JSON.")
@click.pass_context
def collector(
    context: click.Context, host: str, port: int, workers: int, as_json: bool
) -> None:
    """Take events over HTTP until stopped; what was begun is finished first.

    Sources, write keys and limits are in $NEARLINE_HOME/collector.json.
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings()
    config = load_collector_config(settings)
    # A damaged key is told of here, and not by each worker.
    from nearline.privacy.pseudonyms import load_pseudonymizer

    load_pseudonymizer(settings)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _announce(settings, config, url, as_json)
    if workers > 1:
        os.environ.setdefault(
            _METRICS_FOLDER, str(_empty_metrics_folder(settings, port))
        )
    os.environ["NEARLINE_HOME"] = str(settings.home)
    _serve(host, port, workers)


@collector.command(
    name="new-key",
    epilog="Example: nearline collector new-key --source web "
    "--origin https://shop.example",
)
@click.option("--source", required=True, help="Name of the source, such as web.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="Origin whose pages may use the key; may be given several times.",
)
@click.option(
    "--trust",
    type=click.Choice(["browser", "server"]),
    default="browser",
    show_default=True,
)
@click.option(
    "--without-consent",
    is_flag=True,
    help="Take events that carry no consent to analytics.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the key as JSON.")
def new_key(
    source: str,
    origins: tuple[str, ...],
    trust: Trust,
    without_consent: bool,
    as_json: bool,
) -> None:
    """Make a write key and add it to collector.json; a running collector needs a restart."""
    settings = load_settings()
    write_key = add_write_key(
        settings, source, list(origins), trust, requires_consent=not without_consent
    )
    if as_json:
        print_json({"write_key": write_key, "file": settings.collector_config})
    else:
        click.echo(write_key)
        click.echo(f"added to {settings.collector_config}", err=True)


def _announce(
    settings: Settings, config: CollectorConfig, url: str, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "url": url,
                "log": _place_of_log(settings),
                "sources": [source.source for source in config.sources],
                "is_development": config.is_development,
            }
        )
        return
    click.echo(f"collector  {url}  (docs: {url}/docs)")
    click.echo(f"event log  {_place_of_log(settings)}")
    for source in config.sources:
        # A server's key is a secret and does not belong on a screen.
        key = source.write_key if source.trust == "browser" else "(server key)"
        click.echo(f"source     {source.source}  key {key}")
    if config.is_development:
        click.echo(
            f"warning: the write key {DEVELOPMENT_KEY} is known to all; make one with "
            "`nearline collector new-key --source web --origin https://shop.example`",
            err=True,
        )


def _empty_metrics_folder(settings: Settings, port: int) -> Path:
    folder = settings.home / "metrics" / str(port)
    # Counts begin anew with the process, as Prometheus expects.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _place_of_log(settings: Settings) -> str:
    places = {
        "kafka": f"Kafka at {settings.kafka_bootstrap_servers}",
        "kinesis": f"Kinesis in {settings.kinesis_region}",
    }
    return places.get(settings.log_kind, str(settings.log))


def _serve(host: str, port: int, workers: int) -> None:
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
    Granian(_APP, address=host, port=port, **options).serve()

"""`nearline collector`: serves the collector, and makes write keys for it."""

import click

from nearline.cli import print_json
from nearline.collector.config import (
    DEVELOPMENT_KEY,
    CollectorConfig,
    Trust,
    add_write_key,
    load_collector_config,
)
from nearline.collector.workers import address, listens, names_key_holder, serve
from nearline.settings import Settings, load_settings

_APP = "nearline.collector.app:create_app_from_environment"


@click.group(
    invoke_without_command=True,
    epilog="Example: nearline collector --port 8080 --workers 2",
    short_help="Take events over HTTP.",
)
@listens(8080)
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
    _announce(settings, config, address(host, port), as_json)
    serve(settings, _APP, host, port, workers)


@collector.command(
    name="new-key",
    epilog="Example: nearline collector new-key --source web "
    "--origin https://shop.example",
)
@names_key_holder
@click.option(
    "--without-consent",
    is_flag=True,
    help="Take events that carry no consent to analytics.",
)
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
                "log": place_of_log(settings),
                "sources": [source.source for source in config.sources],
                "is_development": config.is_development,
            }
        )
        return
    click.echo(f"collector  {url}  (docs: {url}/docs)")
    click.echo(f"event log  {place_of_log(settings)}")
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


def place_of_log(settings: Settings) -> str:
    places = {
        "kafka": f"Kafka at {settings.kafka_bootstrap_servers}",
        "kinesis": f"Kinesis in {settings.kinesis_region}",
    }
    return places.get(settings.log_kind, str(settings.log))

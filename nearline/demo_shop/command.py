"""`nearline demo-shop`: serves the shop until it is stopped."""

import asyncio
import contextlib
import errno
import signal
import socket
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import load_settings

if TYPE_CHECKING:
    import subprocess

    from nearline.demo_shop.app import DemoShop

_SECONDS_TO_FINISH = 5
_SECONDS_BETWEEN_LOOKS = 1.0
# What keeps features and lists seconds behind the events.
_LIVE_PARTS = (("live",), ("recommend", "live", "--write-every", "1"))


@click.command(
    name="demo-shop",
    epilog="Example: nearline demo-shop --port 8000",
    short_help="Serve a small shop that the whole loop can be watched in.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="0.0.0.0 lets other machines in; the live view is open to whoever can reach it.",
)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option(
    "--decisions",
    "decisions_url",
    metavar="URL",
    help="Ask this `nearline serve` what to show, in place of the shop itself.",
)
@click.option(
    "--decisions-key",
    default="dev",
    show_default=True,
    metavar="KEY",
    help="A key of that service, made with `nearline serve new-key --source demo_shop "
    "--origin http://127.0.0.1:8000`: only for this source it knows the shop's visitors.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def demo_shop(
    host: str, port: int, decisions_url: str | None, decisions_key: str, as_json: bool
) -> None:
    """Serve a small shop whose pages change with what is done on them.

    Tracker, consent banner, a live view of what arrives and of what was decided. Where
    $NEARLINE_HOME is published and has a recommender (`make demo`, then `nearline recommend
    train`), the shop also keeps features and lists seconds behind you: look at a jacket
    three times, or leave something in the cart, and go back to the front page. What is
    missing for that is said.

    Click through it, then let `nearline run` make tables of your visit. Stop with Ctrl+C.
    """
    settings = load_settings()
    _check_address(host, port)
    from nearline.demo_shop.app import create_shop
    from nearline.demo_shop.deciding import Asked, asked_at, missing_parts

    if decisions_url is None:
        asked = Asked(missing=missing_parts(settings))
    else:
        asked = asked_at(decisions_url, decisions_key)
    shop = create_shop(settings, host, asked)
    is_live = asked.url is None and not asked.missing
    name = "127.0.0.1" if host == "0.0.0.0" else host
    url = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    if as_json:
        print_json(
            {
                "url": url,
                "live": f"{url}/live",
                "home": str(settings.home),
                "decisions": asked.url or url,
                "missing": asked.missing,
            }
        )
    else:
        click.echo(f"shop       {url}")
        click.echo(f"live view  {url}/live")
        click.echo(f"data       {settings.home}")
        click.echo(f"decisions  {asked.url or 'of the shop itself'}")
        if asked.missing:
            commands = "\n             ".join(asked.missing)
            click.echo(
                "missing    the pages are the same for everybody until this was run, "
                f"and the shop started anew:\n             {commands}"
            )
        click.echo("Ctrl+C stops it; then `nearline run` makes tables of the visits")
    with contextlib.ExitStack() as started:
        parts: dict[str, subprocess.Popen[bytes]] = {}
        if is_live:
            from nearline.live.parts import part

            for words in _LIVE_PARTS:
                parts[" ".join(words)] = started.enter_context(part(*words))
        asyncio.run(_serve(shop, host, port, parts))
    click.echo("stopped", err=True)


def _check_address(host: str, port: int) -> None:
    """Refuses an address that cannot be had: the server would share it or only log it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            if problem.errno == errno.EADDRINUSE:
                reason = f"port {port} is in use; take another with --port"
            elif problem.errno == errno.EACCES:
                reason = f"port {port} is not allowed; take one above 1023 with --port"
            else:
                reason = f"--host {host} is no address of this machine"
            raise InputError(reason) from None


async def _serve(
    shop: "DemoShop",
    host: str,
    port: int,
    parts: "dict[str, subprocess.Popen[bytes]]",
) -> None:
    from granian.constants import Interfaces
    from granian.log import LogLevels
    from granian.server.embed import Server

    # In this process, unlike the collector: open live views have to be told of the end,
    # and only who holds the feed can.
    server = Server(
        shop.app,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_level=LogLevels.error,
    )
    server.workers_kill_timeout = _SECONDS_TO_FINISH
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)

    async def stop() -> None:
        await stopping.wait()
        await shop.feed.close()
        server.stop()  # type: ignore[no-untyped-call]

    async def watch() -> None:
        """Says it when what keeps pages fresh has ended: the shop itself goes on."""
        while parts:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            for name in [name for name, one in parts.items() if one.poll() is not None]:
                if not stopping.is_set():
                    click.echo(
                        f"warning: `nearline {name}` has ended; pages do not follow what "
                        "is done any more",
                        err=True,
                    )
                del parts[name]

    tasks = [asyncio.create_task(stop()), asyncio.create_task(watch())]
    await server.serve()
    for task in tasks:
        task.cancel()

"""`nearline demo-shop`: serves the shop until it is stopped."""

import asyncio
import errno
import signal
import socket
from typing import TYPE_CHECKING

import click

from nearline.cli import print_json
from nearline.errors import InputError
from nearline.settings import load_settings

if TYPE_CHECKING:
    from nearline.demo_shop.app import DemoShop

_SECONDS_TO_FINISH = 5


@click.command(
    name="demo-shop",
    epilog="Example: nearline demo-shop --port 8000",
    short_help="Serve a small shop that feeds the pipeline.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="0.0.0.0 lets other machines in; the live view is open to whoever can reach it.",
)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print the address as JSON.")
def demo_shop(host: str, port: int, as_json: bool) -> None:
    """Serve a small shop with tracker, consent banner and a live view of what arrives.

    Click through it, then let `nearline run` make tables of your visit. Stop with Ctrl+C.
    """
    settings = load_settings()
    _check_address(host, port)
    from nearline.demo_shop.app import create_shop

    shop = create_shop(settings, host)
    name = "127.0.0.1" if host == "0.0.0.0" else host
    url = f"http://{f'[{name}]' if ':' in name else name}:{port}"
    if as_json:
        print_json({"url": url, "live": f"{url}/live", "home": str(settings.home)})
    else:
        click.echo(f"shop       {url}")
        click.echo(f"live view  {url}/live")
        click.echo(f"data       {settings.home}")
        click.echo("Ctrl+C stops it; then `nearline run` makes tables of the visits")
    asyncio.run(_serve(shop, host, port))
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


async def _serve(shop: "DemoShop", host: str, port: int) -> None:
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

    stop_task = asyncio.create_task(stop())
    await server.serve()
    stop_task.cancel()

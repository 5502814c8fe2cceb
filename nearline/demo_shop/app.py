"""Shop, collector and live view as one ASGI application, at one origin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from nearline.collector.app import create_app
from nearline.collector.config import THIS_MACHINE, CollectorConfig, Source
from nearline.demo_shop.feed import Feed, News
from nearline.demo_shop.goods import open_goods
from nearline.demo_shop.storefront import WRITE_KEY, Storefront
from nearline.log import DEADLETTERS, EVENTS, open_log
from nearline.settings import Settings

SOURCE = "demo_shop"

_ANY_ADDRESS = "0.0.0.0"
_COLLECTOR_PATHS = (
    "/v1/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/docs",
    "/openapi.json",
    "/static-offline-docs/",
)


@dataclass(frozen=True, slots=True)
class DemoShop:
    """The application, and the feed that must be closed for open pages to let go."""

    app: ASGIApp
    feed: Feed


def create_shop(settings: Settings, host: str) -> DemoShop:
    """The shop over the event log of `settings`.

    Args:
        host: where it listens; pages under this name may send.
    """
    goods = open_goods()
    feed = Feed(
        [open_log(settings, EVENTS), open_log(settings, DEADLETTERS)],
        {item.item_id: item.name for item in goods.items.values()},
    )
    collector = create_app(settings, _collector_config(host))
    storefront = Storefront(goods, str(settings.home))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with collector.router.lifespan_context(collector), feed.running():
            yield

    async def stream(_: Request) -> Response:
        return StreamingResponse(
            _messages(feed),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    assets = StaticFiles(packages=[("nearline.demo_shop", "assets")])
    shop = Starlette(
        routes=[
            *storefront.routes(),
            Route("/live/stream", stream),
            Mount("/assets", assets),
        ],
        exception_handlers={HTTPException: storefront.missing},
        lifespan=lifespan,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        is_collectors = scope["type"] == "http" and scope["path"].startswith(
            _COLLECTOR_PATHS
        )
        await (collector if is_collectors else shop)(scope, receive, send)

    return DemoShop(app, feed)


def _collector_config(host: str) -> CollectorConfig:
    if host == _ANY_ADDRESS or ":" in host:
        # By whichever name the machine is reached.
        origins = frozenset({"*"})
    else:
        origins = THIS_MACHINE | {f"http://{host.lower()}:*"}
    source = Source(write_key=WRITE_KEY, source=SOURCE, allowed_origins=origins)
    return CollectorConfig(sources=(source,))


async def _messages(feed: Feed) -> AsyncIterator[bytes]:
    """News as server-sent events; a comment after a silence."""
    async for news in feed.follow():
        yield b": still here\n\n" if news is None else _message(news)


def _message(news: News) -> bytes:
    return b"data: " + orjson.dumps(news) + b"\n\n"

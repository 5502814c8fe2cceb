"""Shop, collector, decisions and live view as one ASGI application, at one origin."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from nearline.collector.answers import script_answer
from nearline.collector.app import create_app as create_collector
from nearline.collector.config import (
    THIS_MACHINE,
    CollectorConfig,
    Source,
)
from nearline.decisions.app import create_app as create_decisions
from nearline.decisions.applications import Application, Applications
from nearline.decisions.browser import SLOTS
from nearline.demo_shop.deciding import Asked, follow_demo_policies
from nearline.demo_shop.feed import Feed, News
from nearline.demo_shop.goods import open_goods
from nearline.demo_shop.storefront import WRITE_KEY, Storefront
from nearline.log import DEADLETTERS, EVENTS, open_log
from nearline.settings import Settings

SOURCE = "demo_shop"

_ANY_ADDRESS = "0.0.0.0"
_SLOTS_PATH = "/v1/slots.js"
_DECISION_PATHS = ("/v1/decide",)
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


def create_shop(settings: Settings, host: str, asked: Asked | None = None) -> DemoShop:
    """The shop over the event log of `settings`.

    Args:
        host: where it listens; pages under this name may send.
        asked: who decides what pages show; the shop itself by default.
    """
    asked = asked or Asked()
    goods = open_goods()
    feed = Feed(
        [open_log(settings, EVENTS), open_log(settings, DEADLETTERS)],
        {item.item_id: item.name for item in goods.items.values()},
    )
    collector = create_collector(settings, _collector_config(host))
    decisions = None
    if asked.url is None:
        decisions = create_decisions(
            follow_demo_policies(settings), _applications(host, asked.key)
        )
    storefront = Storefront(goods, str(settings.home), asked)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            for part in filter(None, (collector, decisions)):
                await opened.enter_async_context(part.router.lifespan_context(part))
            await opened.enter_async_context(feed.running())
            yield

    async def stream(_: Request) -> Response:
        return StreamingResponse(
            _messages(feed),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store"},
        )

    async def slots_js(request: Request) -> Response:
        return script_answer(SLOTS, request)

    assets = StaticFiles(packages=[("nearline.demo_shop", "assets")])
    shop = Starlette(
        routes=[
            *storefront.routes(),
            Route("/live/stream", stream),
            Route(_SLOTS_PATH, slots_js),
            Mount("/assets", assets),
        ],
        exception_handlers={HTTPException: storefront.missing},
        lifespan=lifespan,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        part: ASGIApp = shop
        if decisions is not None and path in _DECISION_PATHS:
            part = decisions
        elif path != _SLOTS_PATH and path.startswith(_COLLECTOR_PATHS):
            part = collector
        await part(scope, receive, send)

    return DemoShop(app, feed)


def _origins(host: str) -> frozenset[str]:
    if host == _ANY_ADDRESS or ":" in host:
        # By whichever name the machine is reached.
        return frozenset({"*"})
    return THIS_MACHINE | {f"http://{host.lower()}:*"}


def _collector_config(host: str) -> CollectorConfig:
    source = Source(write_key=WRITE_KEY, source=SOURCE, allowed_origins=_origins(host))
    return CollectorConfig(sources=(source,))


def _applications(host: str, key: str) -> Applications:
    # The collector's source: its visitors' ids must become the same pseudonyms.
    asking = Application(key=key, source=SOURCE, allowed_origins=_origins(host))
    return Applications(applications=(asking,))


async def _messages(feed: Feed) -> AsyncIterator[bytes]:
    """News as server-sent events; a comment after a silence."""
    async for news in feed.follow():
        yield b": still here\n\n" if news is None else _message(news)


def _message(news: News) -> bytes:
    return b"data: " + orjson.dumps(news) + b"\n\n"

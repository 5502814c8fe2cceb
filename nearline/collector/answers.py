"""Answers alike in all our HTTP services: JSON, problems, and which pages may read them."""

import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nearline.browser_script import BrowserScript
from nearline.collector.problems import Problem

JSON = "application/json"
RETRY_AFTER_SECONDS = 2.0

_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "POST, GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": (
        "authorization, content-encoding, content-type, x-nearline-key"
    ),
    "Access-Control-Max-Age": "86400",
}
# An hour: a fix is everywhere soon, and a page view costs nothing.
_SCRIPT_CACHING = "public, max-age=3600"
# FastAPI's spans hold addresses, queries and traces of whoever sends.
_TELEMETRY = ("tracing", "metrics", "logs", "operation_spans", "auto_configure")


class Cors:
    """Headers that let a page of an allowed origin read the answer.

    Which key a request has is known only from its body, so they are given to every
    configured origin; the key's own origins are checked when its request is taken.
    """

    def __init__(self, allows_origin: Callable[[str], bool]) -> None:
        self._allows_origin = allows_origin

    def headers(self, request: Request) -> dict[str, str]:
        origin = request.headers.get("origin")
        if origin is None or not self._allows_origin(origin):
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": "Retry-After",
        }

    def preflight(self, request: Request) -> Response:
        headers = self.headers(request)
        if "Access-Control-Allow-Origin" not in headers:
            problem = Problem(
                403,
                "no key may be used from this origin",
                "Origin",
                "add the page's origin to a key's allowed_origins",
            )
            return problem_answer(problem, headers)
        return Response(status_code=204, headers=headers | _PREFLIGHT_HEADERS)


class NeverStored:
    """Of an application: an answer that does not say by whom it may be stored says that
    nobody may. So what is private stays so by what was forgotten, too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, tell if scope["type"] == "http" else send)


def offline_app(title: str, description: str, lifespan: Any) -> FastAPI:
    """An application whose `/docs` ask nobody else for anything."""
    app: FastAPI = FastAPIOffline(
        title=title,
        description=description,
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        telemetry=dict.fromkeys(_TELEMETRY, False),
    )
    return app


def json_answer(
    content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(content), media_type=JSON, headers=dict(headers or {}))


def problem_answer(problem: Problem, headers: Mapping[str, str]) -> Response:
    return Response(
        orjson.dumps(problem.body()),
        status_code=problem.status,
        media_type=JSON,
        headers={**headers, **problem.headers()},
    )


def failure_answer(
    logger: logging.Logger, path: str, failure: Exception, headers: Mapping[str, str]
) -> Response:
    """What is answered when we fail. Its message may quote the request, so the trace is
    all that is told, and to the log alone."""
    trace = "".join(traceback.format_tb(failure.__traceback__))
    logger.error("%s failed (%s)\n%s", path, type(failure).__name__, trace)
    problem = Problem(
        503,
        "it cannot be answered now",
        None,
        "try again after Retry-After seconds; see the server's log",
        RETRY_AFTER_SECONDS,
    )
    return problem_answer(problem, headers)


def script_answer(script: BrowserScript, request: Request) -> Response:
    """A script of ours, or that the browser has it already."""
    headers = {
        "ETag": script.etag,
        "Cache-Control": _SCRIPT_CACHING,
        "Vary": "Accept-Encoding",
        # A script of pages of other origins, and no secret.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
    known = request.headers.get("if-none-match", "")
    if script.etag in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    content = script.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = script.gzipped
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="text/javascript", headers=headers)


def add_error_answers(app: FastAPI, cors: Cors) -> None:
    """What is answered where there is no path, or not with this method."""

    async def refuse(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        if problem.status_code == 405:
            text, fix = "the method is not allowed here", "see /docs"
        else:
            text, fix = "there is no such path", "see /docs for what there is"
        answer = Problem(problem.status_code, text, None, fix)
        headers = cors.headers(request) | dict(problem.headers or {})
        return problem_answer(answer, headers)

    app.add_exception_handler(HTTPException, refuse)

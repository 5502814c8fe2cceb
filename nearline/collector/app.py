"""The collector as an ASGI application: routes, headers, CORS; no event is judged here.

No access log and no client address anywhere: an IP address is personal data that nothing
in Nearline needs.
"""

import gc
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from nearline import tracker
from nearline.collector.config import CollectorConfig, load_collector_config
from nearline.collector.description import (
    components,
    problems,
    receives_events,
    receives_segment,
)
from nearline.collector.door import Door
from nearline.collector.duplicates import read_tail
from nearline.collector.metrics import CONTENT_TYPE, Metrics
from nearline.collector.problems import Problem
from nearline.collector.reception import Reception, answer
from nearline.collector.segment import CALLS
from nearline.collector.writing import LogWriter
from nearline.events.contract import major_version, schema_file_name
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings, load_settings

_JSON = "application/json"
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "POST, GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": (
        "authorization, content-encoding, content-type, x-nearline-key"
    ),
    "Access-Control-Max-Age": "86400",
}
# An hour: a shop's fix of the tracker is everywhere soon, and a page view costs nothing.
_TRACKER_CACHING = "public, max-age=3600"
# FastAPI's spans hold addresses, queries and traces of whoever sends.
_TELEMETRY = ("tracing", "metrics", "logs", "operation_spans", "auto_configure")
_GARBAGE_THRESHOLDS = (20_000, 20, 50)
_SWITCH_SECONDS = 0.0005

Clock = Callable[[], datetime]
_Answers = dict[int | str, dict[str, Any]]
_AN_OBJECT: _Answers = {200: {"content": {_JSON: {"schema": {"type": "object"}}}}}
Handler = Callable[[Request], Awaitable[Response]]


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    settings: Settings, config: CollectorConfig | None = None, clock: Clock = utc_now
) -> FastAPI:
    """The application of one worker.

    Args:
        config: sources and limits; read from the settings' file by default.
        clock: what time it is, in UTC.

    Raises:
        InputError: the configuration or the pseudonyms' key cannot be used.
    """
    if config is None:
        config = load_collector_config(settings)
    metrics = Metrics()
    writer = LogWriter(settings, metrics.append_seconds.observe)
    door = Door(config, load_pseudonymizer(settings))
    reception = Reception(config, door, writer, metrics, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reception.recent.add(await writer.read(read_tail))
        yield
        await writer.close()

    app: FastAPI = FastAPIOffline(
        title="Nearline collector",
        description="Takes behaviour events from browsers, apps and servers.",
        version="1",
        lifespan=lifespan,
        redoc_url=None,
        telemetry=dict.fromkeys(_TELEMETRY, False),
    )
    cors = _Cors(config)
    _add_error_answers(app, cors)
    _add_receiving_routes(app, reception, metrics, cors)
    _add_reading_routes(app, writer, metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def create_app_from_environment() -> FastAPI:
    """What the server's workers call: settings come from the environment."""
    app = create_app(load_settings())
    # What is loaded by now stays: the collector of garbage need not go through it at
    # every hundredth event.
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    # The log's thread waits for the interpreter between two rows; at the default of
    # 5 ms an append beside a busy event loop takes tens of milliseconds.
    sys.setswitchinterval(_SWITCH_SECONDS)
    return app


class _Cors:
    """Headers that let a page of an allowed origin read the answer.

    Which key a request has is known only from its body, so they are given to every
    configured origin; the key's own origins are checked when its events are taken.
    """

    def __init__(self, config: CollectorConfig) -> None:
        self._config = config

    def headers(self, request: Request) -> dict[str, str]:
        origin = request.headers.get("origin")
        if origin is None or not self._config.allows_origin(origin):
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
            return _problem_answer(problem, headers)
        return Response(status_code=204, headers=headers | _PREFLIGHT_HEADERS)


def _add_receiving_routes(
    app: FastAPI, reception: Reception, metrics: Metrics, cors: _Cors
) -> None:
    def handler(path: str, segment_call: str | None) -> Handler:
        async def receive(request: Request) -> Response:
            started_at = time.perf_counter()
            headers = cors.headers(request)
            try:
                received = await reception.receive(request, segment_call)
            except Problem as problem:
                response = _problem_answer(problem, headers)
            else:
                content = answer(received, is_segment=segment_call is not None)
                response = Response(content, media_type=_JSON, headers=headers)
            metrics.requests.labels(path, str(response.status_code)).inc()
            metrics.request_seconds.observe(time.perf_counter() - started_at)
            return response

        return receive

    async def preflight(request: Request) -> Response:
        return cors.preflight(request)

    path = "/v1/events"
    app.post(path, **receives_events())(handler(path, None))
    app.options(path, include_in_schema=False)(preflight)
    for call in CALLS:
        path = f"/v1/segment/{call}"
        app.post(path, **receives_segment(call))(handler(path, call))
        # SDKs add Segment's own path to the host that they are given.
        alias = f"/v1/segment/v1/{call}"
        app.post(alias, include_in_schema=False)(handler(path, call))
        for called in (path, alias):
            app.options(called, include_in_schema=False)(preflight)


def _add_reading_routes(app: FastAPI, writer: LogWriter, metrics: Metrics) -> None:
    async def index(request: Request) -> Response:
        """What this is and where to read on."""
        return _json_answer(
            {
                "service": "Nearline collector",
                "docs": "/docs",
                "events": "/v1/events",
                "tracker": "/v1/tracker.js",
            }
        )

    async def health(request: Request) -> Response:
        """Whether the process lives."""
        return _json_answer({"status": "ok"})

    async def readiness(request: Request) -> Response:
        """Whether the event log takes events now."""
        if await writer.is_ready():
            return _json_answer({"status": "ready"})
        return _problem_answer(
            Problem(
                503,
                "the event log cannot take events now",
                None,
                "see whether the log's folder or servers are there and writable",
                5,
            ),
            {},
        )

    async def numbers(request: Request) -> Response:
        """Counts and durations for Prometheus."""
        return Response(metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})

    async def tracker_js(request: Request) -> Response:
        """The browser tracker."""
        return _tracker_answer(request)

    async def schema(request: Request) -> Response:
        """JSON Schema of a version of the event contract."""
        version = request.path_params["version"]
        if major_version(version) is None:
            raise HTTPException(404)
        path = files("nearline.events").joinpath("schemas", schema_file_name(version))
        if not path.is_file():
            raise HTTPException(404)
        return Response(
            path.read_bytes(),
            media_type="application/schema+json",
            headers={"Cache-Control": "public, max-age=3600"},
        )

    routes: tuple[tuple[str, Handler, _Answers], ...] = (
        ("/", index, _AN_OBJECT),
        ("/healthz", health, _AN_OBJECT),
        ("/readyz", readiness, _AN_OBJECT | problems(503)),
        ("/metrics", numbers, {200: {"content": {"text/plain": {}}}}),
        (
            "/v1/tracker.js",
            tracker_js,
            {
                200: {"content": {"text/javascript": {}}},
                304: {"description": "The script is still the one of If-None-Match."},
            },
        ),
        (
            "/v1/schemas/{version}.json",
            schema,
            {200: {"content": {"application/schema+json": {}}}, **problems(404)},
        ),
    )
    for path, endpoint, responses in routes:
        extra: dict[str, Any] = {}
        if "{version}" in path:
            extra["openapi_extra"] = {"parameters": [_version_parameter()]}
        app.get(path, responses=responses, response_class=Response, **extra)(endpoint)
        app.head(path, include_in_schema=False)(endpoint)


def _version_parameter() -> dict[str, Any]:
    names = (
        path.name for path in files("nearline.events").joinpath("schemas").iterdir()
    )
    # event-1-0.json
    versions = sorted(
        ".".join(name.removesuffix(".json").split("-")[1:])
        for name in names
        if name.startswith("event-")
    )
    return {
        "name": "version",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": versions},
    }


def _add_error_answers(app: FastAPI, cors: _Cors) -> None:
    async def refuse(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        if problem.status_code == 405:
            text, fix = "the method is not allowed here", "see /docs"
        else:
            text, fix = "there is no such path", "see /docs for what there is"
        answer = Problem(problem.status_code, text, None, fix)
        headers = cors.headers(request) | dict(problem.headers or {})
        return _problem_answer(answer, headers)

    app.add_exception_handler(HTTPException, refuse)


def _tracker_answer(request: Request) -> Response:
    headers = {
        "ETag": tracker.tracker_etag(),
        "Cache-Control": _TRACKER_CACHING,
        "Vary": "Accept-Encoding",
        # A script of pages of other origins, and no secret.
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
    known = request.headers.get("if-none-match", "")
    if tracker.tracker_etag() in known or known.strip() == "*":
        return Response(status_code=304, headers=headers)
    content = tracker.tracker_script()
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = tracker.gzipped_tracker_script()
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="text/javascript", headers=headers)


def _json_answer(content: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(content), media_type=_JSON)


def _problem_answer(problem: Problem, headers: Mapping[str, str]) -> Response:
    return Response(
        orjson.dumps(problem.body()),
        status_code=problem.status,
        media_type=_JSON,
        headers={**headers, **problem.headers()},
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        known = schema.setdefault("components", {})
        known["schemas"] = components()
        known["securitySchemes"] = {"SegmentBasic": {"type": "http", "scheme": "basic"}}
        app.openapi_schema = schema
    return app.openapi_schema

"""The collector as an ASGI application: routes, headers, CORS; no event is judged here.

No access log and no client address anywhere: an IP address is personal data that nothing
in Nearline needs.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from nearline.collector.answers import (
    JSON,
    Cors,
    add_error_answers,
    json_answer,
    offline_app,
    problem_answer,
    script_answer,
)
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
from nearline.collector.workers import settle_worker
from nearline.collector.writing import LogWriter
from nearline.events.contract import major_version, schema_file_name
from nearline.experiments.browser import ASSIGNMENT
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings, load_settings
from nearline.tracker import TRACKER

Clock = Callable[[], datetime]
_Answers = dict[int | str, dict[str, Any]]
_AN_OBJECT: _Answers = {200: {"content": {JSON: {"schema": {"type": "object"}}}}}
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

    app = offline_app(
        "Nearline collector",
        "Takes behaviour events from browsers, apps and servers.",
        lifespan,
    )
    cors = Cors(config.allows_origin)
    add_error_answers(app, cors)
    _add_receiving_routes(app, reception, metrics, cors)
    _add_reading_routes(app, writer, metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def create_app_from_environment() -> FastAPI:
    """What the server's workers call: settings come from the environment."""
    app = create_app(load_settings())
    settle_worker()
    return app


def _add_receiving_routes(
    app: FastAPI, reception: Reception, metrics: Metrics, cors: Cors
) -> None:
    def handler(path: str, segment_call: str | None) -> Handler:
        async def receive(request: Request) -> Response:
            started_at = time.perf_counter()
            headers = cors.headers(request)
            try:
                received = await reception.receive(request, segment_call)
            except Problem as problem:
                response = problem_answer(problem, headers)
            else:
                content = answer(received, is_segment=segment_call is not None)
                response = Response(content, media_type=JSON, headers=headers)
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


_A_SCRIPT: _Answers = {
    200: {"content": {"text/javascript": {}}},
    304: {"description": "The script is still the one of If-None-Match."},
}


def _add_reading_routes(app: FastAPI, writer: LogWriter, metrics: Metrics) -> None:
    async def index(request: Request) -> Response:
        """What this is and where to read on."""
        return json_answer(
            {
                "service": "Nearline collector",
                "docs": "/docs",
                "events": "/v1/events",
                "tracker": "/v1/tracker.js",
            }
        )

    async def health(request: Request) -> Response:
        """Whether the process lives."""
        return json_answer({"status": "ok"})

    async def readiness(request: Request) -> Response:
        """Whether the event log takes events now."""
        if await writer.is_ready():
            return json_answer({"status": "ready"})
        return problem_answer(
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
        return script_answer(TRACKER, request)

    async def assignment_js(request: Request) -> Response:
        """Who sees which variant of an experiment, for pages that assign themselves."""
        return script_answer(ASSIGNMENT, request)

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
            _A_SCRIPT,
        ),
        ("/v1/assignment.js", assignment_js, _A_SCRIPT),
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

"""The personalization API as an ASGI application: keys, routes, headers.

Nothing is decided here. No access log and no client address anywhere, and every answer
about a visitor is for its asker alone: it is never stored by what lies between.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from nearline.collector.answers import (
    RETRY_AFTER_SECONDS,
    Cors,
    NeverStored,
    add_error_answers,
    failure_answer,
    json_answer,
    offline_app,
    problem_answer,
    script_answer,
)
from nearline.collector.bodies import check_kind, read_json
from nearline.collector.metrics import CONTENT_TYPE
from nearline.collector.problems import Problem
from nearline.collector.rates import TokenBucket
from nearline.collector.reception import KEY_HEADER, KEY_PARAMETER
from nearline.collector.screening import is_identifying_id
from nearline.collector.senders import judge_sender
from nearline.collector.workers import settle_worker
from nearline.collector.writing import LogWriter, Records
from nearline.decisions.answers import decide_answer, recommend_answer, score_answer
from nearline.decisions.applications import (
    Application,
    Applications,
    load_applications,
)
from nearline.decisions.browser import SLOTS
from nearline.decisions.decision_events import response_record
from nearline.decisions.decision_log import DecisionLog
from nearline.decisions.description import (
    components,
    takes,
    takes_visitor,
)
from nearline.decisions.edge import add_variants, variants_answer
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import Listing
from nearline.decisions.requests import (
    ContextForm,
    DecideForm,
    OutcomesForm,
    RecommendForm,
    RequestForm,
    ScoreForm,
    VariantsForm,
    checked,
)
from nearline.decisions.response_cache import open_response_cache
from nearline.decisions.segments import read_segments
from nearline.decisions.service import Asker, Decider
from nearline.decisions.sharing import SharedAnswers
from nearline.errors import InputError
from nearline.log.protocol import LogUnavailableError
from nearline.privacy.consents import PURPOSES, Purpose
from nearline.privacy.pseudonyms import load_pseudonymizer
from nearline.settings import Settings, load_settings

_LOGGER = logging.getLogger(__name__)

_PRIVATE = {"Cache-Control": "no-store"}
_LONGEST_VISITOR = 512

Handler = Callable[[Request], Awaitable[Response]]
Answer = Callable[[Application, Any, Request], Awaitable[dict[str, Any]]]


def create_app(
    settings: Settings,
    applications: Applications | None = None,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **decider_options: Any,
) -> FastAPI:
    """The application of one worker.

    Args:
        applications: keys and limits; read from the settings' file by default.
        decider_options: of `Decider`, for those who bring their own parts.

    Raises:
        InputError: keys, policies or the pseudonyms' key cannot be used.
    """
    service = _Service.made(settings, applications, clock, decider_options)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.decider.start()
        yield
        await service.log.close()
        await service.writer.close()
        await service.shared.close()
        service.decider.close()

    app = offline_app(
        "Nearline decisions",
        "What should this visitor see here? One answer, with reasons and odds.",
        lifespan,
    )
    cors = Cors(service.applications.allows_origin)
    add_error_answers(app, cors)
    app.add_middleware(NeverStored)
    add_variants(app, service.shared, service.decider, service.metrics)
    _add_asking_routes(app, service, cors)
    _add_segments(app, service, cors)
    _add_reading_routes(app, service)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def create_app_from_environment() -> FastAPI:
    """What the server's workers call: settings come from the environment."""
    app = create_app(load_settings())
    settle_worker()
    return app


@dataclass(frozen=True, slots=True)
class _Service:
    """What the routes share."""

    settings: Settings
    applications: Applications
    by_key: dict[str, Application]
    buckets: dict[str, TokenBucket]
    metrics: DecisionMetrics
    writer: LogWriter
    log: DecisionLog
    decider: Decider
    shared: SharedAnswers
    clock: Callable[[], datetime]

    @classmethod
    def made(
        cls,
        settings: Settings,
        applications: Applications | None,
        clock: Callable[[], datetime],
        decider_options: dict[str, Any],
    ) -> "_Service":
        applications = applications or load_applications(settings)
        metrics = DecisionMetrics()
        records = metrics.logged.labels
        writer = LogWriter(settings)
        log = DecisionLog(
            writer,
            on_written=records("written").inc,
            on_dropped=records("dropped").inc,
        )
        decider = Decider(
            settings,
            load_pseudonymizer(settings),
            log,
            metrics,
            clock=clock,
            **decider_options,
        )
        return cls(
            settings=settings,
            applications=applications,
            by_key={one.key: one for one in applications.applications},
            buckets={
                one.key: TokenBucket(
                    one.requests_per_second, one.burst_requests, time.monotonic()
                )
                for one in applications.applications
            },
            metrics=metrics,
            writer=writer,
            log=log,
            decider=decider,
            shared=SharedAnswers(
                decider,
                open_response_cache(settings),
                metrics,
                clock,
                settings.response_cache_seconds,
            ),
            clock=clock,
        )

    def application(self, request: Request) -> Application:
        """Who asks.

        Raises:
            Problem: 401, 403 or 429.
        """
        key = request.headers.get(KEY_HEADER) or request.query_params.get(KEY_PARAMETER)
        application = self.by_key.get(key or "")
        if application is None:
            raise Problem(
                401,
                "the key is unknown" if key else "the key is missing",
                "X-Nearline-Key",
                "send the key of your application in the header X-Nearline-Key, or as "
                "?key=; make one with `nearline serve new-key`",
            )
        origin = request.headers.get("origin")
        # Apps and servers send none.
        if origin is not None and not application.allows_origin(origin):
            raise Problem(
                403,
                "the key may not be used from this origin",
                "Origin",
                "add the page's origin to the key's allowed_origins",
            )
        wait_seconds = self.buckets[application.key].take(1, time.monotonic())
        if wait_seconds:
            raise Problem(
                429,
                "the key has asked too often",
                "X-Nearline-Key",
                "ask again after Retry-After seconds",
                wait_seconds,
            )
        return application

    def asker(
        self,
        application: Application,
        visitor: str,
        context: ContextForm,
        request: Request,
    ) -> Asker:
        # A server asks for browsers of others: its own name tells nothing.
        agent = request.headers.get("user-agent", "")
        bot_reason = None if application.is_trusted else judge_sender(agent).bot_reason
        return self.decider.asker(
            application,
            visitor,
            context.consent.as_consents(),
            context.as_page(),
            bot_reason,
            context.source_session_id,
        )


def _add_asking_routes(app: FastAPI, service: _Service, cors: Cors) -> None:
    async def decide(
        application: Application, form: DecideForm, request: Request
    ) -> dict[str, Any]:
        _check_count(service, form.slots)
        asker = service.asker(application, form.visitor, form.context, request)
        return decide_answer(await service.decider.decide(asker, form.slots))

    async def variants(
        application: Application, form: VariantsForm, request: Request
    ) -> dict[str, Any]:
        _check_count(service, form.slots)
        asker = service.asker(application, form.visitor, form.context, request)
        segment, problem = await service.decider.segment_of(asker)
        return variants_answer(service.decider, asker, form.slots, segment, problem)

    async def recommend(
        application: Application, form: RecommendForm, request: Request
    ) -> dict[str, Any]:
        asker = service.asker(application, form.visitor, form.context, request)
        listing = Listing(count=form.count, category=form.category)
        unavailable = tuple(form.unavailable)
        return recommend_answer(
            await service.decider.recommend(asker, listing, unavailable)
        )

    async def score(
        application: Application, form: ScoreForm, request: Request
    ) -> dict[str, Any]:
        _check_trust(application)
        asker = service.asker(application, form.visitor, form.context, request)
        return score_answer(await service.decider.score(asker, form.targets))

    async def outcomes(
        application: Application, form: OutcomesForm, request: Request
    ) -> dict[str, Any]:
        asker = service.asker(application, form.visitor, form.context, request)
        return await _keep_outcomes(service, asker, form)

    routes: tuple[
        tuple[str, str, type[RequestForm], Any, str, tuple[int, ...]], ...
    ] = (
        ("decide", "What to show in slots", DecideForm, decide, "DecideAnswer", ()),
        (
            "variants",
            "Which shared answers a visitor sees",
            VariantsForm,
            variants,
            "VariantsAnswer",
            (),
        ),
        ("recommend", "A list", RecommendForm, recommend, "RecommendAnswer", ()),
        ("score", "How likely to buy", ScoreForm, score, "ScoreAnswer", ()),
        (
            "outcomes",
            "What came of decisions",
            OutcomesForm,
            outcomes,
            "OutcomesAnswer",
            (503,),
        ),
    )
    for name, summary, form, answer, form_of_answer, statuses in routes:
        path = f"/v1/{name}"
        handler = _handler(path, form, cast(Answer, answer), service, cors)
        app.post(path, summary=summary, **takes(form, form_of_answer, *statuses))(
            handler
        )
        _add_preflight(app, path, cors)


def _add_segments(app: FastAPI, service: _Service, cors: Cors) -> None:
    path = "/v1/segments/{visitor}"

    async def answer(
        application: Application, _: Any, request: Request
    ) -> dict[str, Any]:
        _check_trust(application)
        purpose = request.query_params.get("purpose", "personalization")
        if purpose not in PURPOSES:
            raise Problem(
                400, "is no purpose", "purpose", "send personalization or marketing"
            )
        visitor = request.path_params["visitor"]
        if not visitor.strip() or len(visitor) > _LONGEST_VISITOR:
            raise Problem(400, "is no id of a visitor", "visitor", "send its id")
        asker = service.asker(application, visitor, ContextForm(), request)
        try:
            found = await asyncio.to_thread(
                read_segments,
                service.settings,
                asker.visitor_id,
                cast(Purpose, purpose),
            )
        except InputError:
            return {"segments": [], "as_of": None, "reason": "nothing_published"}
        return {
            "segments": [
                {
                    "segment": one.segment,
                    "since": f"{one.since.isoformat(timespec='seconds')}Z",
                    "is_primary": one.is_primary,
                }
                for one in found.memberships
            ],
            "as_of": found.release_id,
            "reason": found.reason,
        }

    handler = _handler(path, None, answer, service, cors)
    # An id may hold a slash.
    taken = "/v1/segments/{visitor:path}"
    app.get(taken, summary="Segments of a visitor", **takes_visitor("SegmentsAnswer"))(
        handler
    )
    _add_preflight(app, taken, cors)


def _handler(
    path: str,
    form: type[RequestForm] | None,
    answer: Answer,
    service: _Service,
    cors: Cors,
) -> Handler:
    """A route: key, rate, body, answer, numbers; a failure of ours is told as such."""
    metrics = service.metrics

    async def handle(request: Request) -> Response:
        started_at = time.perf_counter()
        headers = cors.headers(request) | _PRIVATE
        try:
            application = service.application(request)
            body = None
            if form is not None:
                body = checked(form, await _content(request, service.applications))
            response = json_answer(await answer(application, body, request), headers)
        except Problem as problem:
            response = problem_answer(problem, headers)
        except Exception as problem:
            response = failure_answer(_LOGGER, path, problem, headers)
        metrics.requests.labels(path, str(response.status_code)).inc()
        metrics.request_seconds.labels(path).observe(time.perf_counter() - started_at)
        return response

    return handle


async def _content(request: Request, applications: Applications) -> Any:
    encoding = request.headers.get("content-encoding", "")
    check_kind(request.headers.get("content-type", ""), encoding)
    content, _ = await read_json(
        request.stream(), encoding, applications.max_body_bytes
    )
    return content


def _check_count(service: _Service, slots: list[str]) -> None:
    most = service.applications.max_slots
    if len(set(slots)) > most:
        raise Problem(
            400, f"there are more than {most} slots", "slots", "ask in two requests"
        )


def _check_trust(application: Application) -> None:
    if not application.is_trusted:
        raise Problem(
            403,
            "a browser's key may not ask for this",
            "X-Nearline-Key",
            "ask from your server, with a key of trust server",
        )


async def _keep_outcomes(
    service: _Service, asker: Asker, form: OutcomesForm
) -> dict[str, Any]:
    """Durably kept, or told not to be: without consent to analytics nothing is."""
    for number, one in enumerate(form.outcomes):
        for name in ("decision_id", "content", "event_id"):
            value = getattr(one, name)
            if value is not None and is_identifying_id(value):
                raise Problem(
                    400,
                    "looks like an address or a phone number",
                    f"outcomes.{number}.{name}",
                    "send an id of your own making",
                )
    if not asker.consents.analytics:
        return {"accepted": 0, "not_kept": len(form.outcomes)}
    now = service.clock()
    records = [
        response_record(
            one.event_id or f"r_{uuid4().hex}",
            asker.visitor_id,
            now,
            asker.consents,
            asker.sender,
            {
                name: value
                for name, value in (
                    ("decision_id", one.decision_id),
                    ("kind", one.kind),
                    ("content", one.content),
                    ("reward", one.reward),
                )
                if value is not None
            },
        )
        for one in form.outcomes
    ]
    try:
        await service.writer.append(Records(records))
    except LogUnavailableError:
        raise Problem(
            503,
            "the event log cannot take outcomes now",
            None,
            "send the same outcomes, each with its event_id, after Retry-After seconds",
            RETRY_AFTER_SECONDS,
        ) from None
    return {"accepted": len(records), "not_kept": 0}


def _add_preflight(app: FastAPI, path: str, cors: Cors) -> None:
    async def preflight(request: Request) -> Response:
        return cors.preflight(request)

    app.options(path, include_in_schema=False)(preflight)


def _add_reading_routes(app: FastAPI, service: _Service) -> None:
    async def index(request: Request) -> Response:
        """What this is and where to read on."""
        return json_answer(
            {
                "service": "Nearline decisions",
                "docs": "/docs",
                "decide": "/v1/decide",
                "slots": "/v1/slots.js",
            }
        )

    async def health(request: Request) -> Response:
        """Whether the process lives."""
        return json_answer({"status": "ok"})

    async def readiness(request: Request) -> Response:
        """Whether answers are whole. They are given in any case: see `without`."""
        decider = service.decider
        without = [
            name
            for name, is_there in (
                ("features", decider.features.is_open),
                ("recommender", decider.lists.current.recommender is not None),
                ("log", await service.writer.is_ready()),
            )
            if not is_there
        ]
        return json_answer(
            {"status": "degraded" if without else "ready", "without": without}
        )

    async def numbers(request: Request) -> Response:
        """Counts and durations for Prometheus."""
        content = service.metrics.exposition()
        return Response(content, headers={"Content-Type": CONTENT_TYPE})

    async def slots_js(request: Request) -> Response:
        """The browser helper."""
        return script_answer(SLOTS, request)

    an_object: dict[int, Any] = {
        200: {"content": {"application/json": {"schema": {"type": "object"}}}}
    }
    text: dict[int, Any] = {200: {"content": {"text/plain": {}}}}
    routes: tuple[tuple[str, Handler, dict[int, Any]], ...] = (
        ("/", index, an_object),
        ("/healthz", health, an_object),
        ("/readyz", readiness, an_object),
        ("/metrics", numbers, text),
        (
            "/v1/slots.js",
            slots_js,
            {
                200: {"content": {"text/javascript": {}}},
                304: {"description": "The script is still the one of If-None-Match."},
            },
        ),
    )
    for path, endpoint, responses in routes:
        given = cast(dict[int | str, dict[str, Any]], responses)
        app.get(path, responses=given, response_class=Response)(endpoint)
        app.head(path, include_in_schema=False)(endpoint)


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        schema.setdefault("components", {})["schemas"] = components()
        app.openapi_schema = schema
    return app.openapi_schema

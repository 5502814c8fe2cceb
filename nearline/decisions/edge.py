"""Answers that what lies between may keep: variants of a slot over HTTP, and their headers.

Belongs here: reading a variant's key from a URL or an edge's headers, `Cache-Control`,
`Vary`, `ETag`, and which variants a visitor sees. Not here: making answers (`sharing`).

An answer depends on the URL and, where that names neither segment nor groups, on two
headers; on no key, cookie or origin. So `Vary` names those two or is left out, and any page
may read it.
"""

import logging
import re
import time
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from nearline.collector.answers import JSON, failure_answer, problem_answer
from nearline.collector.problems import Problem
from nearline.decisions.description import answers_variant
from nearline.decisions.knowing import Page
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import PolicySet, Sharing, Slot
from nearline.decisions.requests import (
    GROUPS_PATTERN,
    SEGMENT_PATTERN,
    VariantForm,
    checked,
)
from nearline.decisions.service import Asker, Decider
from nearline.decisions.sharing import SharedAnswers
from nearline.decisions.variants import (
    entity_tag,
    groups_of,
    groups_text,
    lifetime,
    read_groups,
    variant_of,
)

_LOGGER = logging.getLogger(__name__)

SEGMENT_HEADER = "X-Nearline-Segment"
GROUPS_HEADER = "X-Nearline-Groups"

_PATH = "/v1/variants/{slot}"
_VARY = f"{SEGMENT_HEADER}, {GROUPS_HEADER}"
_VALID_SECONDS = 900
_ANYBODY = {"Access-Control-Allow-Origin": "*"}
_NOT_KEPT = {"Cache-Control": "no-store"}
_SEGMENT = re.compile(SEGMENT_PATTERN)
_GROUPS = re.compile(GROUPS_PATTERN)
_OF_WHOM = ("segment", "groups")


def add_variants(
    app: FastAPI, shared: SharedAnswers, decider: Decider, metrics: DecisionMetrics
) -> None:
    """The path of the variants. It asks for no key: a CDN gives its answers to everybody
    without asking us."""

    async def variant(request: Request) -> Response:
        started_at = time.perf_counter()
        try:
            response = await _variant(request, shared, decider.policies)
        except Problem as problem:
            response = problem_answer(problem, _ANYBODY | _NOT_KEPT)
        except Exception as problem:
            response = failure_answer(_LOGGER, _PATH, problem, _ANYBODY | _NOT_KEPT)
        metrics.requests.labels(_PATH, str(response.status_code)).inc()
        seconds = time.perf_counter() - started_at
        metrics.request_seconds.labels(_PATH).observe(seconds)
        return response

    app.get(_PATH, summary="What a slot shows to many", **answers_variant())(variant)
    app.head(_PATH, include_in_schema=False)(variant)


def variants_answer(
    decider: Decider,
    asker: Asker,
    slots: list[str],
    segment: str | None,
    fallback: str | None,
) -> dict[str, Any]:
    """The body of `POST /v1/variants`. A segment is named only where a slot differs by it,
    and groups only where what comes of them may be recorded."""
    policies = decider.policies
    variants = {}
    for name in slots:
        slot = policies.slots.get(name)
        if slot is None:
            decider.metrics.unknown.labels("slot").inc()
        if slot is not None and slot.shared is not None:
            is_measured = asker.consents.analytics
            groups = groups_of(slot, policies, asker.visitor_id) if is_measured else {}
            variants[name] = variant_of(slot, policies, segment, groups, asker.page)
    groups_of_all = sorted({pair for one in variants.values() for pair in one.groups})
    named = {one.segment for one in variants.values()} - {None}
    return {
        "slots": {
            name: {"path": variants[name].path if name in variants else None}
            for name in slots
        },
        "segment": segment if segment in named else "",
        "groups": groups_text(groups_of_all),
        "valid_seconds": _VALID_SECONDS,
        "fallback": fallback,
    }


async def _variant(
    request: Request, shared: SharedAnswers, policies: PolicySet
) -> Response:
    form = checked(VariantForm, _parameters(request))
    slot, sharing = _shared_slot(policies, request.path_params["slot"])
    names_segment = any(name in request.query_params for name in _OF_WHOM)
    segment, groups = form.segment, form.groups
    if not names_segment:
        segment, groups = _told_by_edge(request.headers)
    page: Page = form.as_page()
    variant = variant_of(slot, policies, segment, read_groups(groups or ""), page)
    answer = await shared.answer(slot, sharing, policies, variant)
    kept_for = lifetime(sharing, answer.age_seconds, answer.is_whole, names_segment)
    tag = entity_tag(answer.body)
    headers = {**_ANYBODY, "Cache-Control": kept_for.cache_control, "ETag": tag}
    if not names_segment:
        headers["Vary"] = _VARY
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(answer.body, media_type=JSON, headers=headers)


def _parameters(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    if len({name for name, _ in pairs}) < len(pairs):
        raise Problem(
            400, "a parameter is there twice", "(query)", "send each of them once"
        )
    return dict(pairs)


def _shared_slot(policies: PolicySet, name: str) -> tuple[Slot, Sharing]:
    slot = policies.slots.get(name)
    if slot is None or slot.shared is None:
        raise Problem(
            404,
            "there is no such slot, or it is not shared",
            "slot",
            "give the slot `shared` in its policy file, or ask POST /v1/decide",
        )
    return slot, slot.shared


def _told_by_edge(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Segment and groups of the headers. They may come from a cookie of long ago or of
    somebody's making, so that what is not understood is none."""
    segment = headers.get(SEGMENT_HEADER, "")
    groups = headers.get(GROUPS_HEADER, "")
    return (
        segment if _SEGMENT.fullmatch(segment) else None,
        groups if _GROUPS.fullmatch(groups) else None,
    )


def _has(if_none_match: str, tag: str) -> bool:
    """Whether the asker has these bytes; what lies between may have weakened the tag."""
    tags = (one.strip().removeprefix("W/") for one in if_none_match.split(","))
    return any(one in (tag, "*") for one in tags)

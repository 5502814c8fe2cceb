"""A fuzzer that reads the OpenAPI document finds nothing that contradicts it.

What makes an event wrong is answered per event with 200, so the checks that expect a
refusal of every body outside the schema are left out.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from nearline.collector.segment import CALLS
from tests.running_collector import running_collector

EXAMPLES = int(os.environ.get("NEARLINE_OPENAPI_EXAMPLES", "60"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


OPERATIONS = (
    *((f"/v1/segment/{call}", "POST") for call in CALLS),
    ("/v1/events", "POST"),
    ("/v1/tracker.js", "GET"),
    ("/v1/schemas/{version}.json", "GET"),
    ("/", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running_collector(tmp_path_factory.mktemp("home")) as collector:
        yield schemathesis.openapi.from_url(f"{collector.url}/openapi.json")


def test_the_document_describes_these_paths(document: Any) -> None:
    described = {
        (operation.ok().path, operation.ok().method.upper())
        for operation in document.get_all_operations()
    }
    assert described == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_the_document_says(
    document: Any, path: str, method: str
) -> None:
    operation = document[path][method]

    @given(operation.as_strategy() | operation.as_strategy(GenerationMode.NEGATIVE))
    @settings(
        max_examples=EXAMPLES if method == "POST" else 10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    def conforms(case: Any) -> None:
        if method == "POST":
            # With the key, so that bodies get past the first check.
            case.headers = {**(case.headers or {}), "X-Nearline-Key": "dev"}
        case.call_and_validate(checks=CHECKS)

    conforms()

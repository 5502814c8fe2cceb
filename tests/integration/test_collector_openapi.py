"""A fuzzer that reads the OpenAPI document finds nothing that contradicts it.

What makes an event wrong is answered per event with 200, so the checks that expect a
refusal of every body outside the schema are left out.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from nearline.collector.segment import CALLS
from tests.openapi_conformance import check_conformance, described_operations
from tests.running_collector import running_collector

EXAMPLES = int(os.environ.get("NEARLINE_OPENAPI_EXAMPLES", "60"))


OPERATIONS = (
    *((f"/v1/segment/{call}", "POST") for call in CALLS),
    ("/v1/events", "POST"),
    ("/v1/tracker.js", "GET"),
    ("/v1/assignment.js", "GET"),
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
    assert described_operations(document) == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_the_document_says(
    document: Any, path: str, method: str
) -> None:
    examples = EXAMPLES if method == "POST" else 10
    check_conformance(
        document[path][method], examples, "dev" if method == "POST" else None
    )

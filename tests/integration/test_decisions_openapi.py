"""A fuzzer that reads the OpenAPI document finds nothing that contradicts it."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis

from nearline.collector.config import write_config
from nearline.decisions.applications import Application, Applications
from nearline.recommend.training import train
from nearline.settings import Settings
from tests.openapi_conformance import check_conformance, described_operations
from tests.running_collector import running_decisions
from tests.unit.decisions.small_page import NOON
from tests.unit.recommend.small_shop import small_shop

pytestmark = pytest.mark.services

EXAMPLES = int(os.environ.get("NEARLINE_OPENAPI_EXAMPLES", "100"))
OPERATIONS = (
    ("/v1/decide", "POST"),
    ("/v1/variants", "POST"),
    ("/v1/variants/{slot}", "GET"),
    ("/v1/recommend", "POST"),
    ("/v1/score", "POST"),
    ("/v1/outcomes", "POST"),
    ("/v1/segments/{visitor}", "GET"),
    ("/", "GET"),
    ("/healthz", "GET"),
    ("/readyz", "GET"),
    ("/metrics", "GET"),
    ("/v1/slots.js", "GET"),
)
APPLICATION = Application(
    key="fuzz",
    source="web",
    trust="server",
    requests_per_second=1e6,
    burst_requests=10**6,
)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("shop") / "home"
    train(small_shop(home).settings, seed=0, now=NOON, code_version="test")
    write_config(
        Settings(home=home).applications, Applications(applications=(APPLICATION,))
    )
    with running_decisions(home) as service:
        yield schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def test_the_document_describes_these_paths(document: Any) -> None:
    assert described_operations(document) == set(OPERATIONS)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_as_the_document_says(
    document: Any, path: str, method: str
) -> None:
    examples = EXAMPLES if path.startswith("/v1/") else 10
    check_conformance(document[path][method], examples, "fuzz")


def test_every_variant_of_a_slot_that_is_there_is_as_the_document_says(
    document: Any,
) -> None:
    operation = document["/v1/variants/{slot}"]["GET"]
    check_conformance(operation, EXAMPLES, None, slot="home_carousel")

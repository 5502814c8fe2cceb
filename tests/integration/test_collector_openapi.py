"""A fuzzer that reads the OpenAPI document finds nothing that contradicts it.

What makes an event wrong is answered per event with 200, so the checks that expect a
refusal of every body outside the schema are left out.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from nearline.collector.app import create_app
from nearline.settings import Settings

EXAMPLES = int(os.environ.get("NEARLINE_OPENAPI_EXAMPLES", "60"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    home: Path = tmp_path_factory.mktemp("home")
    return schemathesis.openapi.from_asgi(
        "/openapi.json", create_app(Settings(home=home))
    )


schema = schemathesis.pytest.from_fixture("document")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_the_document_says(case: Any) -> None:
    # Most bodies come with the key, so that they get past the first check.
    if case.method == "POST" and (case.body is not None):
        case.headers = {**(case.headers or {}), "X-Nearline-Key": "dev"}
    case.call_and_validate(checks=CHECKS)

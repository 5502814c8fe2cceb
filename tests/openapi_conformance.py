"""Holds what a service answers against what its OpenAPI document says, by fuzzing."""

from typing import Any

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

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


def described_operations(document: Any) -> set[tuple[str, str]]:
    """Path and method of everything that the document describes."""
    return {
        (operation.ok().path, operation.ok().method.upper())
        for operation in document.get_all_operations()
    }


def check_conformance(
    operation: Any, examples: int, key: str | None, **path_parameters: str
) -> None:
    """Sends good and bad requests; with `key` and parts of the path that there are, so
    that they get past the first checks."""

    @given(operation.as_strategy() | operation.as_strategy(GenerationMode.NEGATIVE))
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck)
    )
    def conforms(case: Any) -> None:
        if key is not None:
            case.headers = {**(case.headers or {}), "X-Nearline-Key": key}
        if path_parameters:
            case.path_parameters = dict(path_parameters)
        case.call_and_validate(checks=CHECKS)

    conforms()

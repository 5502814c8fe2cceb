"""What the OpenAPI document says of the bodies: made from the forms of both directions."""

from typing import Any

from nearline.decisions.answers import ANSWERS
from nearline.decisions.requests import (
    DecideForm,
    OutcomesForm,
    RecommendForm,
    RequestForm,
    ScoreForm,
    VariantForm,
    VariantsForm,
)
from nearline.privacy.consents import PURPOSES

_CONSENT = {"analytics": True, "personalization": True, "notice_version": "2026-01"}
_VISITOR = "0f3a2b4c5d6e7f8091a2b3c4d5e6f708"
_CONTEXT = {"consent": _CONSENT, "page_type": "product", "item": "sku_0154"}
_KNOWN = {
    "summary": "A visitor with consent",
    "value": {
        "visitor": _VISITOR,
        "slots": ["home_banner", "home_carousel"],
        "context": _CONTEXT,
    },
}
_EXAMPLES: dict[type[RequestForm], dict[str, Any]] = {
    DecideForm: {
        "known": _KNOWN,
        "without_consent": {
            "summary": "Nothing may be known: what everybody sees, and no record",
            "value": {"visitor": _VISITOR, "slots": ["home_carousel"]},
        },
    },
    VariantsForm: {"known": _KNOWN},
    RecommendForm: {
        "beside_an_item": {
            "summary": "Five items beside the one of the page",
            "value": {"visitor": _VISITOR, "count": 5, "context": _CONTEXT},
        }
    },
    ScoreForm: {
        "both": {
            "summary": "Both targets",
            "value": {"visitor": _VISITOR, "context": {"consent": _CONSENT}},
        }
    },
    OutcomesForm: {
        "click": {
            "summary": "A click on the first item",
            "value": {
                "visitor": _VISITOR,
                "context": {"consent": _CONSENT},
                "outcomes": [
                    {
                        "decision_id": "d_8b0e6c1c0f5f4f7c9a4f3f5f8d0e1a2b",
                        "kind": "click",
                        "content": "sku_0154",
                        "reward": 1,
                    }
                ],
            },
        }
    },
}
_PROBLEMS: dict[int, str] = {
    400: "The body or a parameter is not what is described here.",
    401: "The key is missing or unknown.",
    403: "The key may not be used from this origin, or not for this.",
    404: "There is no such thing here.",
    413: "The body is too large.",
    415: "The body is neither JSON nor gzipped JSON.",
    429: "The key has asked too often; see Retry-After.",
    503: "It cannot be done now; try again after Retry-After.",
}
_KEY_PARAMETERS = [
    {
        "name": "X-Nearline-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "Key of the application; may instead be the query's `key`.",
    },
    {
        "name": "key",
        "in": "query",
        "required": False,
        "schema": {"type": "string"},
    },
]


def components() -> dict[str, Any]:
    """Schemas that the paths refer to."""
    schemas: dict[str, Any] = {}
    for form in (*_EXAMPLES, *ANSWERS):
        mode = "validation" if form in _EXAMPLES else "serialization"
        schema = form.model_json_schema(
            by_alias=True,
            ref_template="#/components/schemas/{model}",
            mode=mode,  # type: ignore[arg-type]
        )
        schemas |= schema.pop("$defs", {})
        schemas[form.__name__] = schema
    return schemas


def takes(form: type[RequestForm], answer: str, *statuses: int) -> dict[str, Any]:
    """Arguments of a route that takes a body."""
    return {
        "responses": _answers(answer, (400, 401, 403, 413, 415, 429, *statuses)),
        "openapi_extra": {
            "parameters": _KEY_PARAMETERS,
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"$ref": f"#/components/schemas/{form.__name__}"},
                        "examples": _EXAMPLES[form],
                    }
                },
            },
        },
    }


def takes_visitor(answer: str) -> dict[str, Any]:
    """Arguments of the route that is asked for a visitor of its path."""
    return {
        "responses": _answers(answer, (400, 401, 403, 404, 429, 503)),
        "openapi_extra": {
            "parameters": [
                *_KEY_PARAMETERS,
                {
                    "name": "visitor",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1, "maxLength": 512},
                    "description": "As in the body of /v1/decide.",
                },
                {
                    "name": "purpose",
                    "in": "query",
                    "required": False,
                    "schema": {
                        "enum": list(PURPOSES),
                        "default": "personalization",
                    },
                    "description": "What they are for; only who allowed it is told of.",
                },
            ]
        },
    }


def answers_variant() -> dict[str, Any]:
    """Arguments of the route of a variant, which many share."""
    schema = VariantForm.model_json_schema(mode="validation")
    kept = {name: {"schema": {"type": "string"}} for name in ("Cache-Control", "ETag")}
    answers = _answers("VariantAnswer", (400, 404, 503))
    answers[200]["headers"] = kept
    answers[304] = {"description": "You have it.", "headers": kept}
    return {
        "responses": answers,
        "openapi_extra": {
            "parameters": [
                {
                    "name": "slot",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1},
                },
                *(
                    {
                        "name": name,
                        "in": "query",
                        "required": False,
                        "schema": _without_null(field),
                    }
                    for name, field in schema["properties"].items()
                ),
            ]
        },
    }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The form of a parameter, which is text or left out."""
    (stated,) = (one for one in schema["anyOf"] if one != {"type": "null"})
    found: dict[str, Any] = stated
    return found


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are one of the problems, by status."""
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": _json("ProblemAnswer"),
            **(
                {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
                if status in (429, 503)
                else {}
            ),
        }
        for status in statuses
    }


def _answers(answer: str, statuses: tuple[int, ...]) -> dict[int | str, dict[str, Any]]:
    done = {"description": "Answered.", "content": _json(answer)}
    return {200: done} | _problems(*statuses)


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}

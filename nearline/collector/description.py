"""What the OpenAPI document says of the bodies: made from the contract's JSON Schema."""

from typing import Any

from nearline.collector.segment import CALLS
from nearline.events import SCHEMA_VERSION, json_schema

_TAKEN_OUT = ("source", "received_at", "clock_skew_seconds", "pseudonym_key_id")
_RAW_ID = {
    "anyOf": [{"type": "string", "minLength": 1, "maxLength": 512}, {"type": "integer"}]
}
_ADDRESS = {"type": ["string", "null"]}
_AMOUNT = {"type": ["number", "string", "null"]}
_RAW_FIELDS: dict[str, Any] = {
    "visitor_id": _RAW_ID
    | {"description": "Id of the cookie or device; kept as a keyed hash."},
    "user_id": {"anyOf": [*_RAW_ID["anyOf"], {"type": "null"}]}
    | {"description": "Id of the account; kept as a keyed hash."},
    **{
        name: {"anyOf": [*_RAW_ID["anyOf"], {"type": "null"}]}
        | {"description": f"{meaning}; kept as a keyed hash."}
        for name, meaning in (
            ("contact_id", "E-mail address or a CRM's key of the person"),
            ("previous_visitor_id", "Of an alias: the id of the cookie or device"),
            ("previous_user_id", "Of an alias: the former id of the account"),
        )
    },
    "page_url": _ADDRESS
    | {"description": "Full address; kept are page_path and listed parameters."},
    "referrer": _ADDRESS | {"description": "Full address; kept is referrer_host."},
    "link_url": _ADDRESS
    | {"description": "Full address; kept are link_host and link_path."},
    "user_agent": _ADDRESS
    | {"description": "For servers that speak for a browser; never kept."},
    "price": _AMOUNT | {"description": "In currency units; kept as price_cents."},
    "value": _AMOUNT
    | {"description": "Of a purchase: in currency units; kept as revenue_cents."},
    "transaction_id": {"type": ["string", "integer", "null"]}
    | {"description": "Kept as order_id."},
}
_EXAMPLE_EVENT = {
    "event_id": "7b1e4a52-6f0d-4c39-a6be-0c6f4d1f2a10",
    "event_name": "add_to_cart",
    "schema_version": SCHEMA_VERSION,
    "occurred_at": "2026-03-02T12:00:00.000Z",
    "visitor_id": "0f3a2b4c5d6e7f8091a2b3c4d5e6f708",
    "page_url": "https://shop.example/p/sku_0154?utm_source=newsletter",
    "items": [{"item_id": "sku_0154", "price": 19.99, "quantity": 1}],
    "currency": "EUR",
    "consent_analytics": True,
    "consent_notice_version": "2026-01",
}
_EXAMPLE_BATCH = {
    "write_key": "dev",
    "sent_at": "2026-03-02T12:00:02.000Z",
    "events": [_EXAMPLE_EVENT],
}
_EXAMPLE_MESSAGE = {
    "type": "track",
    "event": "Product Viewed",
    "messageId": "ajs-next-1772452800000-7b1e4a52",
    "anonymousId": "0f3a2b4c-5d6e-7f80-91a2-b3c4d5e6f708",
    "properties": {"product_id": "sku_0154", "price": 19.99, "currency": "EUR"},
    "context": {"consent": {"categoryPreferences": {"Analytics": True}}},
    "timestamp": "2026-03-02T12:00:00.000Z",
}


def input_schema() -> dict[str, Any]:
    """JSON Schema of an event as it is sent: the contract's, with raw fields."""
    schema = json_schema()
    properties = {
        name: field
        for name, field in schema["properties"].items()
        if name not in _TAKEN_OUT
    }
    item = schema["$defs"]["Item"]
    properties["items"] = {
        "type": ["array", "null"],
        "maxItems": 200,
        "items": {
            "type": "object",
            "required": ["item_id"],
            "properties": {
                **item["properties"],
                "item_id": {"type": ["string", "integer"]},
                "price": _AMOUNT,
            },
        },
    }
    return {
        "title": f"Event {SCHEMA_VERSION} as it is sent",
        "type": "object",
        "properties": properties | _RAW_FIELDS,
        "required": [name for name in schema["required"] if name not in _TAKEN_OUT],
    }


def components() -> dict[str, Any]:
    """Schemas that the paths refer to."""
    result = {
        "type": "object",
        "properties": {
            "event_id": {"type": ["string", "null"]},
            "status": {"enum": ["accepted", "duplicate", "rejected"]},
            "field": {"type": "string"},
            "reason": {"type": "string"},
        },
        "required": ["event_id", "status"],
    }
    counts: dict[str, Any] = {
        name: {"type": "integer", "minimum": 0}
        for name in ("accepted", "duplicate", "rejected")
    }
    return {
        "SentEvent": input_schema(),
        "SentBatch": {
            "type": "object",
            "properties": {
                "write_key": {"type": "string"},
                "sent_at": {
                    "type": ["string", "null"],
                    "description": "By the clock that the events' times are of; a "
                    "difference to ours is corrected.",
                },
                "events": {
                    "type": "array",
                    "items": {"$ref": "#/components/schemas/SentEvent"},
                },
            },
            "required": ["events"],
        },
        "SegmentMessage": {
            "type": "object",
            "description": "A message of Segment's spec; in a batch, `batch` is a list "
            "of them.",
            "properties": {
                "type": {"type": "string"},
                "event": {"type": "string"},
                "messageId": {"type": "string"},
                "anonymousId": {"type": ["string", "null"]},
                "userId": {"type": ["string", "integer", "null"]},
                "previousId": {"type": ["string", "integer", "null"]},
                "traits": {"type": "object"},
                "properties": {"type": "object"},
                "context": {"type": "object"},
                "timestamp": {"type": "string"},
                "sentAt": {"type": "string"},
                "writeKey": {"type": "string"},
                "batch": {"type": "array", "items": {"type": "object"}},
            },
        },
        "Received": {
            "type": "object",
            "description": "What became of each event, in the order in which they came. "
            "All that is said to be accepted or rejected is durably kept.",
            "properties": counts | {"results": {"type": "array", "items": result}},
            "required": [*counts, "results"],
        },
        "SegmentReceived": {
            "type": "object",
            "properties": {"success": {"const": True}, **counts},
            "required": ["success", *counts],
        },
        "Problem": {
            "type": "object",
            "properties": {
                "error": {"type": "string"},
                "field": {"type": ["string", "null"]},
                "fix": {"type": "string"},
            },
            "required": ["error", "field", "fix"],
        },
    }


def _json(schema: str, **more: Any) -> dict[str, Any]:
    return {
        "application/json": {
            "schema": {"$ref": f"#/components/schemas/{schema}"},
            **more,
        }
    }


_PROBLEMS: dict[int, str] = {
    400: "The body cannot be read, or is no event and no batch.",
    401: "The write key is missing or unknown.",
    403: "The key may not be used from this origin.",
    413: "The body or the batch is too large.",
    415: "The body is neither JSON nor gzipped JSON.",
    429: "The key has sent too many events; see Retry-After.",
    503: "The event log is away; nothing is lost if you send again after Retry-After.",
}


def _answers(schema: str, description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": _json(schema)}} | problems(
        *_PROBLEMS
    )


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are one of the problems, by status."""
    texts = _PROBLEMS | {404: "There is no such thing here."}
    return {
        status: {
            "description": texts[status],
            "content": _json("Problem"),
            **(
                {"headers": {"Retry-After": {"schema": {"type": "integer"}}}}
                if status in (429, 503)
                else {}
            ),
        }
        for status in statuses
    }


def receives_events() -> dict[str, Any]:
    """Arguments of the route that takes events of ours."""
    forms = ("SentEvent", "SentBatch")
    references = [{"$ref": f"#/components/schemas/{form}"} for form in forms]
    schema = {
        "anyOf": [*references, {"type": "array", "items": references[0]}],
    }
    examples = {
        "one": {"summary": "One event", "value": _EXAMPLE_EVENT},
        "batch": {"summary": "A batch", "value": _EXAMPLE_BATCH},
    }
    return {
        "summary": "Send one event or a batch",
        "responses": _answers("Received", "Every event was judged and kept."),
        "openapi_extra": {
            "parameters": [
                {
                    "name": "X-Nearline-Key",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string"},
                    "description": "Write key; may instead be `write_key` of the batch "
                    "or the query parameter `key`.",
                },
                {
                    "name": "key",
                    "in": "query",
                    "required": False,
                    "schema": {"type": "string"},
                },
            ],
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": schema, "examples": examples}
                    for kind in ("application/json", "text/plain")
                },
            },
        },
    }


def receives_segment(call: str) -> dict[str, Any]:
    """Arguments of the route that takes a call of Segment's."""
    assert call in CALLS
    message = {"batch": [_EXAMPLE_MESSAGE]} if call == "batch" else _EXAMPLE_MESSAGE
    return {
        "summary": f"Segment's `{call}`",
        "responses": _answers("SegmentReceived", "The messages were judged and kept."),
        "openapi_extra": {
            "security": [{"SegmentBasic": []}, {}],
            "requestBody": {
                "required": True,
                "content": _json("SegmentMessage", example=message),
            },
        },
    }

"""Tens of thousands of bodies that are almost right: no 5xx, and no identifier gets in.

Structure-aware: bodies start as good batches of both forms, then parts of them are
replaced, doubled, moved or given an identifier. The seed is fixed;
`NEARLINE_FUZZ_BODIES` asks for more.
"""

import asyncio
import copy
import gzip
import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nearline.collector.app import create_app
from nearline.collector.config import CollectorConfig, Source
from nearline.collector.reception import DEFECT
from nearline.collector.segment import CALLS, EVENT_NAMES
from nearline.events import Event
from nearline.events.contract import KNOWN_EVENT_NAMES
from nearline.settings import Settings

BODY_COUNT = int(os.environ.get("NEARLINE_FUZZ_BODIES", "20000"))
SEED = int(os.environ.get("NEARLINE_FUZZ_SEED", "7731"))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ACCOUNT = "ACC-77317731"
SECRETS = (
    "zoe.secret7731@mail.example",
    "write to zoe.secret7731@mail.example now",
    "zoe.secret7731%40mail.example",
    "zoe.secret7731%2540mail.example",
    "zoe.secret7731\\u0040mail.example",
    "+49 (0) 170 7731773",
    "555-773-1773",
    "203.0.113.77",
    "2001:db8::7731:77",
)
# What of each secret no byte of answer or log may show.
MARKS = (
    b"secret7731",
    b"170 7731773",
    b"555-773-1773",
    b"203.0.113.77",
    b"2001:db8::7731",
    b"acc-77317731",
)
ALLOWED = {200, 400, 401, 403, 413, 415, 429}
FIELDS = (
    *Event.model_fields,
    "page_url",
    "referrer",
    "link_url",
    "user_agent",
    "price",
    "value",
    "transaction_id",
    "no_such_field",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    2**64 - 1,
    1e308,
    -0.0,
    5e-324,
    "",
    " ",
    "\x00",
    "\u202e",
    "x" * 70,
    "x" * 3_000,
    "\\" * 2_000,
    "%" * 2_000,
    "@" * 2_000,
    "+1" * 1_000,
    "é中\U0001f600",
    "null",
    "2026-03-02T12:00:00Z",
    "2026-02-30T12:00:00Z",
    "0000-00-00",
    "9999-12-31T23:59:59.999999+23:59",
    "1.1",
    "1.9",
    "2.0",
    "0.1",
    "http://[::1",
    "https://shop.example/a?b=c",
    "data:text/html,x",
    "//",
    "?",
    "1e999",
    "NaN",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": {"b": [1, {"c": []}]}},
)


def _event(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "event_id": f"e-{number}-{rng.getrandbits(32)}",
        "event_name": rng.choice(sorted(KNOWN_EVENT_NAMES)),
        "schema_version": rng.choice(["1.0", "1.1", "1.1"]),
        "occurred_at": "2026-03-02T11:59:59.000Z",
        "visitor_id": f"cookie-{rng.randrange(100)}-{rng.getrandbits(64)}",
        "user_id": rng.choice([None, "K-1"]),
        "page_url": "https://shop.example/p/7?utm_source=a&q=chair&x=1",
        "page_title": "A chair",
        "referrer": "https://www.google.com/",
        "items": [{"item_id": "s1", "price": 19.99, "quantity": 1}],
        "currency": "EUR",
        "value": 19.99,
        "experiment_key": "x",
        "variant_key": "a",
        "consent_analytics": True,
        "properties": {"colour": "blue", "deep": {"list": [1, "two"]}},
    }


def _message(rng: random.Random, number: int) -> dict[str, Any]:
    return {
        "type": rng.choice([*CALLS, "alias"]),
        "event": rng.choice([*EVENT_NAMES, "Course Clicked"]).title(),
        "messageId": f"m-{number}-{rng.getrandbits(32)}",
        "anonymousId": f"anonymous-{rng.getrandbits(64)}",
        "userId": rng.choice([None, "K-1"]),
        "timestamp": "2026-03-02T11:59:59.000Z",
        "name": "Home",
        "properties": {"product_id": "p1", "products": [{"sku": "s"}], "price": 1},
        "traits": {"email": SECRETS[0], "name": "Zoe"},
        "context": {
            "ip": "203.0.113.77",
            "page": {"url": "https://shop.example/x", "title": "X"},
            "campaign": {"name": "spring"},
            "device": {"type": "ios"},
            "consent": {"categoryPreferences": {"Analytics": True}},
        },
    }


def _containers(value: Any) -> list[Any]:
    """Every object and list inside, outermost first."""
    found = []
    if isinstance(value, dict | list):
        found.append(value)
        for inner in value.values() if isinstance(value, dict) else value:
            found += _containers(inner)
    return found


def _odd(rng: random.Random) -> Any:
    # A copy: two places with one list in it would grow together without end.
    return copy.deepcopy(rng.choice([*ODD, *SECRETS]))


def _mutate(rng: random.Random, body: Any) -> None:
    """Changes one place somewhere in a body."""
    place = rng.choice(_containers(body))
    if isinstance(place, list):
        kind = rng.randrange(3)
        if kind == 0 or not place:
            place.append(_odd(rng))
        elif kind == 1:
            place[rng.randrange(len(place))] = _odd(rng)
        else:
            place.extend(copy.deepcopy(place[:3]))
        return
    key = rng.choice([*place, *FIELDS]) if rng.random() < 0.9 else rng.choice(SECRETS)
    kind = rng.randrange(4)
    if kind == 0 and key in place:
        del place[key]
    elif kind == 1:
        other = rng.choice([*place.values(), 1])
        place[key] = copy.deepcopy(other)
    else:
        place[key] = _odd(rng)


def _plant_account(rng: random.Random, event: dict[str, Any]) -> None:
    """The account's id in other fields of an event that says whose it is."""
    event["user_id"] = ACCOUNT
    event[rng.choice(["page_title", "search_term", "order_id", "element_id"])] = ACCOUNT
    event["page_url"] = f"https://shop.example/{ACCOUNT}/orders"
    event["properties"] = {"note": f"of {ACCOUNT}", ACCOUNT: [ACCOUNT.lower(), 1]}


def _body(rng: random.Random, number: int) -> tuple[str, bytes, dict[str, str]]:
    """Path, body and headers of one request."""
    headers = {"X-Nearline-Key": rng.choice(["web", "web", "server"])}
    if rng.random() < 0.3:
        call = rng.choice(CALLS)
        path = f"/v1/segment/{call}"
        messages = [_message(rng, number) for _ in range(rng.randrange(1, 4))]
        body: Any = {"batch": messages} if call == "batch" else messages[0]
    else:
        path = "/v1/events"
        events = [_event(rng, number) for _ in range(rng.randrange(1, 4))]
        body = rng.choice([events, events[0], {"events": events, "sent_at": None}])
    for _ in range(rng.choice([0, 1, 1, 2, 3, 6])):
        _mutate(rng, body)
    if path == "/v1/events" and isinstance(body, dict) and rng.random() < 0.1:
        body = _event(rng, number)
        _plant_account(rng, body)
    content = orjson.dumps(body)
    if rng.random() < 0.1 and not _shown(content):
        # Bytes that were damaged on the way. Not those of a secret: half of an address
        # is none.
        damaged = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        content = bytes(damaged)
    if rng.random() < 0.1:
        content = gzip.compress(content, 1)
        headers["Content-Encoding"] = "gzip"
        content = content[: rng.choice([len(content), len(content), 15])]
    headers["User-Agent"] = rng.choice(["Firefox", "", "curl/8", "zoe.secret7731"])
    return path, content, headers


def _config() -> CollectorConfig:
    generous = {"events_per_second": 1e9, "burst_events": 10**9}
    return CollectorConfig(
        sources=(
            Source(write_key="web", source="web", **generous),
            Source(
                write_key="server",
                source="backend",
                trust="server",
                requires_consent=False,
                **generous,
            ),
        )
    )


def _settings(home: Path) -> Settings:
    return Settings(home=home, pseudonym_key="0123456789abcdef" * 2)  # type: ignore[arg-type]


@pytest.fixture
def send(tmp_path: Path) -> Any:
    """Sends one request to a collector with a real log."""
    runner = asyncio.Runner()
    app = create_app(_settings(tmp_path), _config(), clock=lambda: NOON)
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://collector.example"
    )

    def send(path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        return runner.run(client.post(path, content=content, headers=headers))

    lifespan = app.router.lifespan_context(app)
    runner.run(lifespan.__aenter__())
    yield send
    runner.run(lifespan.__aexit__(None, None, None))
    runner.run(client.aclose())
    runner.close()


def _shown(content: bytes) -> list[bytes]:
    return [mark for mark in MARKS if mark in content.lower()]


def test_no_body_breaks_the_collector_and_no_identifier_gets_in(
    send: Callable[..., httpx.Response], tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    statuses: Counter[int] = Counter()
    results: Counter[str] = Counter()
    for number in range(BODY_COUNT):
        path, content, headers = _body(rng, number)
        response = send(path, content, headers)
        statuses[response.status_code] += 1
        assert response.status_code in ALLOWED, content
        answer = response.json()
        assert not _shown(response.content), content
        assert DEFECT not in response.text, content
        if response.status_code == 200:
            for name in ("accepted", "duplicate", "rejected"):
                results[name] += answer[name]
        else:
            assert set(answer) == {"error", "field", "fix"}
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {"events.sqlite", "deadletters.sqlite"} <= {file.name for file in files}
    for file in files:
        assert not _shown(file.read_bytes()), file
    # The fuzz reaches both sides of the door.
    assert results["accepted"] > BODY_COUNT / 10
    assert results["rejected"] > BODY_COUNT / 10
    assert statuses[400] > 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40)
    | st.sampled_from(SECRETS),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(FIELDS) | st.text(max_size=10), inner, max_size=6
        )
    ),
    max_leaves=25,
)


@given(
    body=JSON | st.fixed_dictionaries({"events": st.lists(JSON, max_size=4)}),
    path=st.sampled_from(["/v1/events", *(f"/v1/segment/{call}" for call in CALLS)]),
    key=st.sampled_from(["web", "server"]),
)
@hypothesis_settings(
    max_examples=1_000,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_json_is_answered(
    send: Callable[..., httpx.Response], body: Any, path: str, key: str
) -> None:
    response = send(path, orjson.dumps(body), {"X-Nearline-Key": key})
    assert response.status_code in ALLOWED
    assert not _shown(response.content)
    assert DEFECT not in response.text

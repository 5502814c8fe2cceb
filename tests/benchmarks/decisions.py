"""How many decisions a second `nearline serve` makes, and how long one takes.

    python -m tests.benchmarks.decisions [--seconds 20]

Real HTTP against the real command with two workers, Redis, the features of a simulated
shop's visitors and a recommender over 20,000 items. Half the peak is asked for open loop:
requests are due at random moments, and their time counts from then, whether or not the one
before is answered. Beside it, in the same run, the floor: a bare ASGI application on the
same server that parses the same question, asks Redis for the same fields in one `HMGET` and
multiplies 20,000 x 64 numbers with 64. Clients, servers and Redis share the machine.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from nearline.models import ModelFacts, decide, register
from nearline.recommend.artifacts import write_learnt
from nearline.recommend.learning import learn
from nearline.recommend.training import MODEL_NAME
from nearline.settings import Settings
from tests.benchmarks.collector import NEARLINE, serving
from tests.benchmarks.reads import SERVICE, fields_of, keys_of_visitors
from tests.benchmarks.recommendations import shop
from tests.benchmarks.redis_shop import redis_shop
from tests.benchmarks.run import describe_machine
from tests.pipeline import ROOT
from tests.ports import free_port

REPORT = ROOT / "docs" / "benchmarks-decisions.md"

ITEMS, INTERACTIONS, VISITORS = 20_000, 200_000, 1_000
WORKERS = 2
# Some in flight in each worker, however the system shares them out: none is idle, and
# nobody waits until time is up.
CONNECTIONS = 8
_STAGE_REQUESTS = 400
_WHOLE = b'"fallback":null'
_POLICIES = """
version: 1
slots:
  home_carousel: { kind: items, count: 8, policies: [beside_the_cart, carousel] }
policies:
  beside_the_cart: { trigger: cart_left }
  carousel:
    when: page_view_count_30d > 0 or cart_item_count > 0
    needs: [personalization]
    hold_out: 0.02
    experiment:
      key: how_alike
      arms:
        as_is: { share: 0.5 }
        more_alike: { share: 0.5, list: { relevance_share: 0.9 } }
    list: { exploration_share: 0.05, relevance_share: 0.8, most_per_brand: 4 }
"""
_TRIGGERS = """
triggers:
  cart_left:
    like: cart_left
    deliver: [{ to: block, slot: home_carousel, content: beside_the_cart }]
"""
_FLOOR_APP = """
import os
import numpy as np, orjson, redis.asyncio
client = redis.asyncio.Redis.from_url(os.environ["FLOOR_REDIS"])
asked = orjson.loads(open(os.environ["FLOOR_ASKED"], "rb").read())
keys = {visitor: bytes.fromhex(key) for visitor, key in asked["keys"].items()}
fields = [bytes.fromhex(field) for field in asked["fields"]]
matrix = np.random.default_rng(0).standard_normal((20_000, 64), dtype=np.float32)
taste = matrix[0].copy()
answer = b'"fallback":null'.ljust(asked["answer_bytes"])
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if body:
        values = await client.hmget(keys[orjson.loads(body)["visitor"]], fields)
        assert any(value is not None for value in values)
        matrix @ taste
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})
"""


@dataclass(frozen=True)
class Served:
    """`peak` in requests a second; milliseconds at half of it, open loop.

    `whole_share` of all answers are of everything that was asked for, no fallback.
    """

    peak: float
    p50: float
    p99: float
    asked: int
    whole_share: float


def measure(folder: Path, seconds: float) -> str:
    """The report."""
    with redis_shop(folder) as held:
        server, settings, environment = held.server, held.settings, held.environment
        _train(settings)
        settings.home.joinpath("policies").mkdir()
        settings.home.joinpath("policies", "shop.yml").write_text(_POLICIES)
        settings.home.joinpath("triggers").mkdir()
        settings.home.joinpath("triggers", "shop.yml").write_text(_TRIGGERS)
        subprocess.run(
            [NEARLINE, "triggers", "run", "--until-idle"],
            env=environment,
            check=True,
            capture_output=True,
        )
        settings.home.joinpath("applications.json").write_text(
            json.dumps({"applications": [_application()]})
        )
        with server.client() as client:
            keys = {
                visitor: key
                for visitor, key in keys_of_visitors(settings).items()
                if client.exists(key)
            }
        requests = [_request(visitor) for visitor in sorted(keys)]
        stages, answer_bytes = _stages(settings, sorted(keys))
        port = free_port()
        command = [str(NEARLINE), "serve", "--port", str(port)]
        with serving(
            [*command, "--workers", str(WORKERS)], environment, port, "/readyz"
        ):
            _wait_until_personal(port, requests[0])
            ours = asyncio.run(_served(port, requests, seconds))
        floor = _floor(
            folder, server.url, settings, keys, requests, answer_bytes, seconds
        )
    return _report(ours, floor, stages, seconds)


def _train(settings: Settings) -> None:
    """A champion over 20,000 items; the first are those that the shop's visitors saw."""
    known = [f"sku_{number:04}" for number in range(1, 321)]
    learnt, _ = learn(shop(INTERACTIONS, ITEMS, seed=1, first_ids=known), seed=0)
    now = datetime.now(UTC)
    facts = ModelFacts(
        release_id="benchmark",
        code_version="benchmark",
        data_from=None,
        data_up_to=None,
        seed=0,
        row_counts={"items": ITEMS, "interactions": INTERACTIONS},
        metrics={},
        beside={},
        suppression="",
        details={},
    )
    card = register(
        settings.models, MODEL_NAME, facts, lambda to: write_learnt(learnt, to), now
    )
    decide(settings.models, MODEL_NAME, card.version, True, "for the benchmark", now)


def _application() -> dict[str, Any]:
    return {
        "key": "benchmark",
        "source": "nearline_shop",
        "trust": "server",
        "requests_per_second": 1e9,
        "burst_requests": 10**9,
    }


def _request(visitor: str) -> bytes:
    body = json.dumps(
        {
            "visitor": visitor,
            "slots": ["home_carousel"],
            "context": {
                "page_type": "home",
                "page_path": "/",
                "consent": {"analytics": True, "personalization": True},
            },
        }
    ).encode()
    head = (
        "POST /v1/decide HTTP/1.1\r\nHost: localhost\r\nX-Nearline-Key: benchmark\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _wait_until_personal(port: int, request: bytes) -> None:
    """Models and store are opened beside the requests; until then answers are defaults."""

    async def answered() -> dict[str, Any]:
        connection = await asyncio.open_connection("127.0.0.1", port)
        found: dict[str, Any] = json.loads(await _ask(*connection, request))
        connection[1].close()
        return found

    in_a_row = 0
    deadline = time.monotonic() + 120
    # Workers open them each for itself.
    while in_a_row < 20:
        slot = asyncio.run(answered())["slots"]["home_carousel"]
        in_a_row = in_a_row + 1 if slot["fallback"] is None else 0
        assert time.monotonic() < deadline, slot["fallback"]
        time.sleep(0.1)


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    return await reader.readexactly(length)


async def _served(port: int, requests: Sequence[bytes], seconds: float) -> Served:
    """The peak by clients in a closed loop, then the times at half of it."""
    rng = random.Random(1)
    connections = [
        await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    is_whole: list[bool] = []
    stop = time.perf_counter() + seconds / 2

    async def client(reader: Any, writer: Any) -> None:
        while time.perf_counter() < stop:
            answer = await _ask(reader, writer, rng.choice(requests))
            is_whole.append(_WHOLE in answer)

    began = time.perf_counter()
    await asyncio.gather(*(client(*connection) for connection in connections))
    # An answer that makes do without is quicker, and would count for more.
    peak = sum(is_whole) / (time.perf_counter() - began)
    times = await _open_loop(port, peak / 2, seconds, requests, rng, is_whole)
    for _, writer in connections:
        writer.close()
    cuts = statistics.quantiles(times, n=100)
    return Served(
        peak=peak,
        p50=cuts[49] * 1_000,
        p99=cuts[98] * 1_000,
        asked=len(times),
        whole_share=sum(is_whole) / len(is_whole),
    )


async def _open_loop(
    port: int,
    rate: float,
    seconds: float,
    requests: Sequence[bytes],
    rng: random.Random,
    is_whole: list[bool],
) -> list[float]:
    """Seconds from when each request was due until it was answered."""
    free: list[Any] = []
    times: list[float] = []

    async def one(due: float) -> None:
        connection = (
            free.pop(rng.randrange(len(free)))
            if free
            else await asyncio.open_connection("127.0.0.1", port)
        )
        answer = await _ask(*connection, rng.choice(requests))
        times.append(time.perf_counter() - due)
        is_whole.append(_WHOLE in answer)
        free.append(connection)

    tasks: list[Awaitable[None]] = []
    due = time.perf_counter()
    stop = due + seconds
    while due < stop:
        due += rng.expovariate(rate)
        # Also where it is behind: answers are to be read in between.
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    for _, writer in free:
        writer.close()
    return times


def _floor(
    folder: Path,
    redis_url: str,
    settings: Settings,
    keys: dict[str, bytes],
    requests: Sequence[bytes],
    answer_bytes: int,
    seconds: float,
) -> Served:
    from feast import FeatureStore

    store = FeatureStore(repo_path=str(settings.online))
    fields = [
        field if isinstance(field, bytes) else field.encode()
        for field in fields_of(store.get_feature_service(SERVICE))
    ]
    asked = {
        "keys": {visitor: key.hex() for visitor, key in keys.items()},
        "fields": [field.hex() for field in fields],
        "answer_bytes": answer_bytes,
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    (folder / "floor_app.py").write_text(_FLOOR_APP)
    port = free_port()
    command = [sys.executable, "-m", "granian", "--interface", "asgi"]
    command += ["--port", str(port), "--workers", str(WORKERS)]
    command += ["--no-ws", "--log-level", "warning", "floor_app:app"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "FLOOR_REDIS": redis_url,
        "FLOOR_ASKED": str(folder / "asked.json"),
        # As in the workers of the service: more threads than cores only get in the way.
        "OPENBLAS_NUM_THREADS": "1",
    }
    with serving(command, environment, port, "/"):
        return asyncio.run(_served(port, requests, seconds))


def _stages(
    settings: Settings, visitors: Sequence[str]
) -> tuple[dict[str, float], int]:
    """Median milliseconds of each stage, one request at a time in one thread, and the
    bytes of an answer."""
    from nearline.decisions import deciding, service
    from nearline.decisions.answers import decide_answer
    from nearline.decisions.applications import Application
    from nearline.decisions.decision_events import decision_record
    from nearline.decisions.knowing import Consents, Page
    from nearline.privacy.pseudonyms import load_pseudonymizer

    decider = service.Decider(settings, load_pseudonymizer(settings), None)
    decider.refresh()
    assert decider.features.open()
    times: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return run(*arguments, **named)
            finally:
                times.setdefault(name, []).append(time.perf_counter() - began)

        return wrapped

    lists = decider.lists.current
    application = Application(**_application())
    rng = random.Random(2)
    size = 0
    made = type(lists).recommend
    with (
        mock.patch.object(type(lists), "recommend", timed("the list", made)),
        mock.patch.object(deciding, "_applies", timed("condition", deciding._applies)),
        mock.patch.object(deciding, "_arm", timed("experiment", deciding._arm)),
    ):
        for _ in range(_STAGE_REQUESTS):
            asker = decider.asker(
                application,
                rng.choice(visitors),
                Consents(True, True),
                Page("home", "/"),
            )
            found = timed("features", decider.features.read)(asker.visitor_id)
            known = timed("what is known", service.know)(
                asker.visitor_id, decider._now(), asker.consents, asker.page, found
            )
            choice = timed("choice, in all", deciding.choose)(
                decider.policies.slots["home_carousel"],
                decider.policies,
                known,
                lists,
                np.random.default_rng(3),
            )
            timed("record", decision_record)("0" * 32, choice, known, asker.sender, 1.0)
            decided = service.Decided(
                {choice.slot: service.Decision(choice, "0" * 32)}, known, lists, 1.0
            )
            answer = timed("answer", lambda d=decided: json.dumps(decide_answer(d)))()
            size = len(answer)
    decider.close()
    return {
        name: statistics.median(seconds) * 1_000 for name, seconds in times.items()
    }, size


def _report(
    ours: Served, floor: Served, stages: dict[str, float], seconds: float
) -> str:
    rows = "\n".join(
        f"| {name} | {one.peak:,.0f} | {one.p50:.1f} | {one.p99:.1f} | {one.asked:,} |"
        for name, one in (("`/v1/decide`", ours), ("floor", floor))
    )
    ratios = (floor.peak / ours.peak, ours.p50 / floor.p50, ours.p99 / floor.p99)
    times = f"| times | {' | '.join(f'{ratio:.1f}' for ratio in ratios)} | |"
    return f"""# Benchmarks: decisions

Written by `python -m tests.benchmarks.decisions`, on {datetime.now(UTC):%Y-%m-%d};
{describe_machine()}; {os.getloadavg()[0]:.0f} processes waiting for its cores at the end.

`/v1/decide` for one carousel of 8 of {ITEMS:,} items: features from Redis, a trigger, a
condition, a hold-out, an experiment, all sources of candidates, order, diversity,
exploration, and a record in the log. {WORKERS} workers; clients, Redis and log on the
same machine. Beside it the floor: a bare ASGI application on the same server with one
`HMGET` of the same fields and one product of {ITEMS:,} x 64 numbers with 64.

Peak: whole answers to {CONNECTIONS} connections that ask as soon as they are answered.
Milliseconds at half of each one's own peak for {seconds:.0f} s, requests due at random
moments, from when they were due.

| | peak, requests a second | p50 | p99 | requests |
|---|---|---|---|---|
{rows}
{times}

{ours.whole_share:.1%} of our answers were whole; the others came with a fallback, for want
of time.

## Stage by stage

Milliseconds at the median, one request at a time in one thread without HTTP.

| stage | ms |
|---|---|
{chr(10).join(f"| {name} | {value:.2f} |" for name, value in stages.items())}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of the open loop")
    parser.add_argument("--out", type=Path, default=REPORT)
    asked = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="nearline-bench-") as scratch:
        report = measure(Path(scratch), asked.seconds)
    asked.out.write_text(report)
    print(report)


if __name__ == "__main__":
    main()

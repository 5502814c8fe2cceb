"""Shared answers kept by real servers: Memcached and Redis, halted and killed."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import PolicySet
from nearline.decisions.response_cache import open_response_cache
from nearline.decisions.sharing import SharedAnswer
from nearline.settings import Settings
from tests.memcached_servers import MemcachedServer, running_memcached
from tests.redis_servers import RedisServer, running_redis
from tests.unit.decisions.small_page import policies_of
from tests.unit.decisions.small_sharing import PICKS, Sharing, sharing

pytestmark = pytest.mark.services

BUDGET = 0.05
_PATIENCE_SECONDS = 30.0


@pytest.fixture(params=["memcached", "redis"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[RedisServer | MemcachedServer]:
    with ExitStack() as stack:
        if request.param == "redis":
            yield stack.enter_context(running_redis(tmp_path / "redis"))
        else:
            yield stack.enter_context(running_memcached())


@pytest.fixture
def settings(server: RedisServer | MemcachedServer, tmp_path: Path) -> Settings:
    is_redis = isinstance(server, RedisServer)
    address = server.url if isinstance(server, RedisServer) else server.address
    return Settings(
        home=tmp_path / "home",
        response_cache="redis" if is_redis else "memcached",
        response_cache_address=SecretStr(address),
        response_cache_seconds=BUDGET,
    )


@pytest.fixture
def policies(tmp_path: Path) -> PolicySet:
    return policies_of(tmp_path / "policies", PICKS)


@pytest.fixture
def asked(settings: Settings, policies: PolicySet) -> Iterator[Sharing]:
    with sharing(policies, open_response_cache(settings), BUDGET) as found:
        yield found


def ask(asked: Sharing) -> SharedAnswer:
    async def one() -> SharedAnswer:
        found = await asked.ask()
        await asked.shared.finish()
        return found

    return asyncio.run(one())


def until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_what_one_process_made_another_answers_with(
    asked: Sharing, settings: Settings, policies: PolicySet
) -> None:
    # Patient for the first connection: it may take longer than the budget.
    until(lambda: ask(asked).source == "kept")
    with sharing(policies, open_response_cache(settings), BUDGET) as other:
        until(lambda: ask(other).source == "kept")
        assert other.lists.made <= 1  # only if its first look came too late
        assert ask(other).body == ask(asked).body


def test_two_installations_on_one_server_do_not_meet(
    asked: Sharing, settings: Settings, policies: PolicySet
) -> None:
    until(lambda: ask(asked).source == "kept")
    elsewhere = settings.model_copy(update={"response_cache_prefix": "other"})
    with sharing(policies, open_response_cache(elsewhere), BUDGET) as other:
        assert ask(other).source == "made"


def test_a_server_that_hangs_or_dies_costs_no_answer_and_is_used_again(
    asked: Sharing, server: RedisServer | MemcachedServer
) -> None:
    until(lambda: ask(asked).source == "kept")

    def without(metrics: DecisionMetrics) -> float:
        kinds = ("get_slow", "get_failed", "get_busy")
        return sum(asked.number("response_cache", kind) for kind in kinds)

    before = without(asked.metrics)
    server.halt()
    for _ in range(3):
        assert ask(asked).source == "made"
    assert without(asked.metrics) == before + 3
    server.go_on()
    until(lambda: ask(asked).source == "kept")
    server.kill()
    before = without(asked.metrics)
    for _ in range(3):
        assert ask(asked).source == "made"
    assert without(asked.metrics) == before + 3
    server.start()
    until(lambda: ask(asked).source == "kept")

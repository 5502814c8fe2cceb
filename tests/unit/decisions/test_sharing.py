"""Shared answers: made once, kept for a while, and given whatever the cache does."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nearline.decisions.decision_events import Sender
from nearline.decisions.knowing import Consents, Page
from nearline.decisions.policies import PolicySet
from nearline.decisions.response_cache import MemoryCache
from nearline.decisions.service import Asker, Decided
from nearline.decisions.sharing import SharedAnswer
from nearline.decisions.variants import lifetime
from tests.unit.decisions.small_page import policies_of
from tests.unit.decisions.small_sharing import PICKS, sharing


class FaultyCache:
    """A server far away: broken, or hanging until `free`."""

    is_local = False

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.seconds: dict[str, int] = {}
        self.is_broken = False
        self.may_answer = threading.Event()
        self.may_answer.set()

    def get(self, key: str) -> bytes | None:
        self._wait()
        return self.kept.get(key)

    def put(self, key: str, value: bytes, seconds: int) -> None:
        self._wait()
        self.kept[key] = value
        self.seconds[key] = seconds

    def close(self) -> None:
        self.may_answer.set()

    def _wait(self) -> None:
        self.may_answer.wait()
        if self.is_broken:
            raise OSError("connection refused")


@pytest.fixture
def policies(tmp_path: Path) -> PolicySet:
    return policies_of(tmp_path / "policies", PICKS)


def in_one_loop(*asked: Callable[[], Any]) -> list[SharedAnswer]:
    """Answers to several questions at once."""

    async def ask() -> list[SharedAnswer]:
        return list(await asyncio.gather(*(one() for one in asked)))

    return asyncio.run(ask())


def test_an_answer_is_made_once_and_kept_for_its_time(policies: PolicySet) -> None:
    with sharing(policies) as asked:
        first = asyncio.run(asked.ask())
        asked.now += timedelta(seconds=59)
        again = asyncio.run(asked.ask())
        assert (first.source, again.source) == ("made", "kept")
        assert (again.body, again.age_seconds) == (first.body, 59)
        asked.now += timedelta(seconds=1)
        assert asyncio.run(asked.ask()).source == "made"
        assert asked.lists.made == 2
        assert asked.number("shared", "picks", "made") == 2
        assert asked.number("response_cache", "hit") == 2


def test_another_page_is_another_answer(policies: PolicySet) -> None:
    with sharing(policies) as asked:
        plain = asyncio.run(asked.ask())
        beside = asyncio.run(asked.ask("shoe-run"))
        assert beside.source == "made"
        assert beside.body != plain.body
        # Of an item that nobody knows it is what everybody sees.
        unknown = asyncio.run(asked.ask("no-such"))
        assert unknown.body == plain.body
        assert asked.number("unknown", "item") == 1


def test_nothing_is_drawn_for_what_many_share(policies: PolicySet) -> None:
    with sharing(policies, FaultyCache(), budget=20) as asked:
        assert len({asyncio.run(asked.ask()).body for _ in range(5)}) == 1


def test_a_new_policy_or_model_is_not_answered_with_the_former_ones(
    policies: PolicySet, tmp_path: Path
) -> None:
    with sharing(policies) as asked:
        asyncio.run(asked.ask())
        asked.policies = policies_of(
            tmp_path / "newer", PICKS.replace("count: 3", "count: 2")
        )
        fewer = asyncio.run(asked.ask())
        assert fewer.source == "made"
        assert fewer.body.count(b"item_id") == 2
        asked.lists.learn(4)
        newer = asyncio.run(asked.ask())
        assert newer.source == "made"
        assert b'"recommender":4' in newer.body


def test_any_byte_of_any_file_is_another_version(tmp_path: Path) -> None:
    block = "version: 1\nblocks: { one: { kind: message, content: { text: A } } }\n"
    versions = {
        policies_of(tmp_path / name, PICKS, text).version
        for name, text in (("a", block), ("b", block.replace("A", "B")))
    }
    assert len(versions) == 2


def test_many_who_ask_for_the_same_at_once_have_it_made_once(
    policies: PolicySet,
) -> None:
    with sharing(policies) as asked:
        answers = in_one_loop(*[asked.ask] * 1_000)
        assert asked.lists.made == 1
        assert len({one.body for one in answers}) == 1
        assert asked.number("shared", "picks", "made") == 1_000


class TestWithoutALiveModel:
    def test_what_was_kept_is_given_past_its_time(self, policies: PolicySet) -> None:
        with sharing(policies, ranking=0.05) as asked:
            # On a busy machine the first may be late, too.
            while (first := asyncio.run(asked.ask())).source != "made":
                asked.now += timedelta(seconds=60)
            asked.now += timedelta(seconds=90)
            asked.lists.may_answer.clear()
            late = asyncio.run(asked.ask())
            assert (late.source, late.body) == ("kept_late", first.body)
            assert not late.is_whole
            assert asked.number("fallbacks", "model_slow") >= 1

    def test_nothing_of_it_is_kept(self, policies: PolicySet) -> None:
        with sharing(policies, ranking=0.01) as asked:
            asked.lists.may_answer.clear()
            for _ in range(2):
                less = asyncio.run(asked.ask())
                assert less.source == "made_less"
                assert b'"fallback":"model_slow"' in less.body
                assert less.body.count(b"item_id") == 3

    def test_ten_times_more_than_can_wait_are_answered_all_the_same(
        self, policies: PolicySet
    ) -> None:
        with sharing(policies, ranking=0.5) as asked:
            asked.lists.may_answer.clear()
            answers = in_one_loop(
                *(lambda item=f"item-{n}": asked.ask(item) for n in range(640))
            )
            assert {one.source for one in answers} == {"made_less"}
            overloaded = sum(b'"overloaded"' in one.body for one in answers)
            assert overloaded == 640 - 64
            assert asked.number("fallbacks", "overloaded") == overloaded


def test_ten_times_more_decisions_than_can_wait_are_answered_all_the_same(
    policies: PolicySet,
) -> None:
    with sharing(policies, ranking=0.5) as asked:
        asked.lists.may_answer.clear()
        nobody = Asker("v_anybody0001", Sender("web"), Consents(), Page())

        async def ask() -> list[Decided]:
            one = asked.decider.decide
            return list(
                await asyncio.gather(*(one(nobody, ["picks"]) for _ in range(640)))
            )

        choices = [one.decisions["picks"].choice for one in asyncio.run(ask())]
        assert {len(choice.items) for choice in choices} == {3}
        why = Counter(choice.fallback for choice in choices)
        assert why == {"overloaded": 640 - 64, "model_slow": 64}
        assert asked.number("fallbacks", "overloaded") == 640 - 64


class TestCacheThatFails:
    def test_one_that_is_away_is_gone_without(self, policies: PolicySet) -> None:
        cache = FaultyCache()
        cache.is_broken = True
        with sharing(policies, cache) as asked:
            assert asyncio.run(asked.ask()).source == "made"
            assert asked.number("response_cache", "get_failed") == 1

    def test_one_that_hangs_is_waited_for_no_longer_than_its_budget(
        self, policies: PolicySet
    ) -> None:
        cache = FaultyCache()
        cache.may_answer.clear()
        with sharing(policies, cache, budget=0.01) as asked:
            # More than there are threads: they all hang, and are all answered.
            for _ in range(12):
                assert asyncio.run(asked.ask()).source == "made"
            assert asked.number("response_cache", "get_slow") == 12
            cache.may_answer.set()

    @pytest.mark.parametrize("entry", [b"", b"short", b"x" * 500])
    def test_what_is_not_ours_is_made_anew(
        self, policies: PolicySet, entry: bytes
    ) -> None:
        cache = FaultyCache()
        with sharing(policies, cache) as asked:

            async def twice() -> list[SharedAnswer]:
                first = await asked.ask()
                await asked.shared.finish()
                (key,) = cache.kept
                assert cache.seconds[key] == 660
                kept = await asked.ask()
                cache.kept[key] = entry
                return [first, kept, await asked.ask()]

            found = asyncio.run(twice())
            assert [one.source for one in found] == ["made", "kept", "made"]
            assert len({one.body for one in found}) == 1
            assert asked.number("response_cache", "corrupt") == 1


def test_what_lies_between_counts_from_when_it_was_made(policies: PolicySet) -> None:
    shared = policies.slots["picks"].shared
    assert shared is not None
    said = [
        (one.browser_seconds, one.edge_seconds)
        for one in (lifetime(shared, age, True, True) for age in (0, 45.5, 59.9))
    ]
    assert said == [(30, 60), (14, 14), (1, 1)]


class TestMemory:
    def test_an_entry_ends_with_its_time(self) -> None:
        now = [0.0]
        cache = MemoryCache(ticks=lambda: now[0])
        cache.put("a", b"1", 10)
        now[0] = 9.9
        assert cache.get("a") == b"1"
        now[0] = 10.0
        assert cache.get("a") is None

    def test_what_was_asked_for_longest_ago_makes_room(self) -> None:
        cache = MemoryCache(most=2)
        for key in ("a", "b"):
            cache.put(key, key.encode(), 10)
        cache.get("a")
        cache.put("c", b"c", 10)
        assert [cache.get(key) for key in ("a", "b", "c")] == [b"a", None, b"c"]

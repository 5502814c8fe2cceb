"""What the tests of shared answers have in common: one slot, lists that can be held up."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nearline.decisions.knowing import Page
from nearline.decisions.lists import HeldLists
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import PolicySet
from nearline.decisions.response_cache import MemoryCache, ResponseCache
from nearline.decisions.service import Decider
from nearline.decisions.sharing import SharedAnswer, SharedAnswers
from nearline.decisions.variants import Variant, variant_of
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.recommend.recommender import Recommender
from nearline.recommend.requests import Answer, Request
from nearline.recommend.requests import Policy as ListRules
from nearline.settings import Settings
from tests.unit.decisions.small_page import NOON, LiteralFeatures, fashion_lists

PICKS = """
version: 1
slots:
  picks:
    kind: items
    count: 3
    policies: [own]
    shared: { edge_seconds: 60, stale_seconds: 600 }
policies:
  own: { list: { exploration_share: 0.5 } }
"""


class CountedLists:
    """The fashion shop's lists; nobody has one before `may_answer` is set."""

    def __init__(self) -> None:
        self.held = fashion_lists()
        self.made = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    @property
    def version(self) -> int | None:
        return self.held.version

    @property
    def recommender(self) -> Recommender | None:
        return self.held.recommender

    @property
    def popular(self) -> Sequence[str]:
        return self.held.popular

    def recommend(self, request: Request, rules: ListRules, rng: Any) -> Answer | None:
        self.made += 1
        self.may_answer.wait()
        return self.held.recommend(request, rules, rng)

    def knows(self, item_id: str) -> bool:
        return self.held.knows(item_id)

    def learn(self, version: int) -> None:
        """The same again, as another version."""
        recommender = self.held.recommender
        assert recommender is not None
        versions: dict[str, str | None] = {"recommender": f"recommender v{version}"}
        self.held = HeldLists(replace(recommender, versions=versions), self.popular)


class Sharing:
    """Asks for variants of `picks`, at a time that the test sets."""

    def __init__(
        self, policies: PolicySet, cache: ResponseCache, budget: float, ranking: float
    ) -> None:
        self.lists = CountedLists()
        self.now = NOON
        self.policies = policies
        self.metrics = DecisionMetrics()
        self.decider = Decider(
            Settings(home=Path("/nowhere"), decision_ranking_seconds=ranking),
            Pseudonymizer(b""),
            None,
            self.metrics,
            policies=policies,
            features=LiteralFeatures(),
        )
        self.decider.lists.current = self.lists  # type: ignore[assignment]
        self.shared = SharedAnswers(
            self.decider, cache, self.metrics, self._clock, budget
        )

    def _clock(self) -> datetime:
        return self.now

    def variant(self, item: str | None = None) -> Variant:
        slot = self.policies.slots["picks"]
        return variant_of(slot, self.policies, None, {}, Page(item=item))

    async def ask(self, item: str | None = None) -> SharedAnswer:
        slot = self.policies.slots["picks"]
        assert slot.shared is not None
        return await self.shared.answer(
            slot, slot.shared, self.policies, self.variant(item)
        )

    def number(self, counter: str, *labels: str) -> float:
        found: float = getattr(self.metrics, counter).labels(*labels)._value.get()
        return found


@contextmanager
def sharing(
    policies: PolicySet,
    cache: ResponseCache | None = None,
    # Patient: a busy machine must not make a fallback of what is whole.
    budget: float = 20,
    ranking: float = 20,
) -> Iterator[Sharing]:
    found = Sharing(policies, cache or MemoryCache(), budget, ranking)
    try:
        yield found
    finally:
        found.lists.may_answer.set()
        asyncio.run(found.shared.close())
        found.decider.close()

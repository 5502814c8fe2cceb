"""Answers for one worker: reads what is known, has each slot decided, records it.

Belongs here: the order of the stages, their budgets, and what is done without one that
gives nothing: no request is left without an answer. Not here: HTTP (`app`), or the choice
itself (`deciding`).
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.decisions.deciding import (
    Choice,
    choose,
    no_such_slot,
    show_default,
)
from nearline.decisions.decision_events import (
    Sender,
    decision_record,
    new_decision_id,
)
from nearline.decisions.decision_log import DecisionLog
from nearline.decisions.features import STORE_AWAY, STORE_SLOW, Features, FeatureSource
from nearline.decisions.knowing import Consents, Known, Page, know
from nearline.decisions.lists import HeldLists, ListSource
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import Listing, Policy, PolicySet, Slot
from nearline.decisions.policy_files import load_policies, policy_paths
from nearline.decisions.stages import Failure, Stage, StageError
from nearline.errors import InputError
from nearline.experiments.registry import registry_files
from nearline.file_stamps import file_stamp
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.propensity.scoring import PropensityScorer, Score
from nearline.propensity.targets import TARGETS, find_target
from nearline.settings import Settings

if TYPE_CHECKING:
    from nearline.decisions.applications import Application
    from nearline.online.reading import EntityFeatures

_LOGGER = logging.getLogger(__name__)

_REFRESH_SECONDS = 1.0
_RETRY_STORE_SECONDS = 5.0
_FEATURE_THREADS, _RANKING_THREADS = 4, 2
_MOST_WAITING = 64
_CACHE_SIZE = 50_000

_MODEL_FAILURES: dict[Failure, str] = {
    "slow": "model_slow",
    "busy": "overloaded",
    "failed": "model_failed",
}
_STORE_FAILURES: dict[Failure, str] = {
    "slow": STORE_SLOW,
    "busy": "overloaded",
    "failed": STORE_AWAY,
}

# A list that an application asks for by itself follows no file.
RECOMMEND = "recommend"


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks, and for whom. `visitor_id` is the pseudonym."""

    visitor_id: str
    sender: Sender
    consents: Consents
    page: Page


@dataclass(frozen=True, slots=True)
class Decision:
    """A choice on record. `decision_id` is None where there is no record of it."""

    choice: Choice
    decision_id: str | None


@dataclass(frozen=True, slots=True)
class Decided:
    """What a request is answered: decisions by slot, with what they rest on."""

    decisions: dict[str, Decision]
    known: Known
    lists: HeldLists
    latency_ms: float


class Decider:
    """Everything that requests share in one worker; one event loop only.

    `start` begins a thread that opens the store and keeps models and policies up to date;
    until it has, answers are the default ones.
    """

    def __init__(
        self,
        settings: Settings,
        pseudonymizer: Pseudonymizer,
        log: DecisionLog | None,
        metrics: DecisionMetrics | None = None,
        *,
        policies: PolicySet | None = None,
        features: Features | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.perf_counter,
        make_rng: Callable[[], np.random.Generator] = np.random.default_rng,
    ) -> None:
        """Reads the policies.

        Args:
            log: where decisions are recorded; None records none.

        Raises:
            PolicyError: the policies cannot be used.
        """
        self._settings = settings
        self._pseudonymizer = pseudonymizer
        self._log = log
        self.metrics = metrics or DecisionMetrics()
        self._policy_stamps = _stamps(settings)
        self.policies = (
            policies if policies is not None else load_policies(settings, clock())
        )
        self.features: Features = features or FeatureSource(settings)
        self.lists = ListSource(settings)
        self._clock = clock
        self._ticks = ticks
        self._make_rng = make_rng
        self._scorers: dict[str, PropensityScorer] = {}
        self._visitor = lru_cache(_CACHE_SIZE)(pseudonymizer.visitor)
        observe = self.metrics.stage_seconds.labels
        self._reading = Stage(
            "features",
            settings.decision_features_seconds,
            threads=_FEATURE_THREADS,
            most_waiting=_MOST_WAITING,
            observe=observe("features").observe,
        )
        self._ranking = Stage(
            "ranking",
            settings.decision_ranking_seconds,
            threads=_RANKING_THREADS,
            most_waiting=_MOST_WAITING,
            observe=observe("ranking").observe,
        )
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to hold what answers are made of up to date."""
        self._thread = threading.Thread(
            target=self._keep_up, name="decisions-refresh", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(_REFRESH_SECONDS)
        self._reading.close()
        self._ranking.close()
        self.features.close()

    def refresh(self) -> None:
        """One look at what may have been replaced: models, sales, policies."""
        self.lists.refresh()
        for key in TARGETS:
            self._scorer(key)
        stamps = _stamps(self._settings)
        changes_at, now = self.policies.changes_at, self._clock()
        is_due = changes_at is not None and changes_at <= now
        if is_due or stamps != self._policy_stamps:
            self._policy_stamps = stamps
            try:
                self.policies = load_policies(self._settings, now)
            except InputError as problem:
                _LOGGER.warning("the policies before go on: %s", problem)

    def asker(
        self,
        application: "Application",
        visitor: str,
        consents: Consents,
        page: Page,
        bot_reason: str | None = None,
        source_session_id: str | None = None,
    ) -> Asker:
        """Who asks: the raw id becomes the pseudonym that the collector makes of it."""
        is_pseudonym = application.names_pseudonym(visitor)
        return Asker(
            visitor_id=visitor
            if is_pseudonym
            else self._visitor(application.source, visitor),
            sender=Sender(
                application.source,
                None if is_pseudonym else self._pseudonymizer.key_id,
                bot_reason,
                source_session_id,
            ),
            consents=consents,
            page=page,
        )

    async def decide(self, asker: Asker, slots: Iterable[str]) -> Decided:
        """What each slot shows; an answer whatever is away."""
        names = list(dict.fromkeys(slots))
        policies = self.policies
        found = [policies.slots[name] for name in names if name in policies.slots]
        decided = await self._decide(asker, found, policies)
        for name in names:
            if name not in policies.slots:
                self.metrics.unknown.labels("slot").inc()
                decided.decisions[name] = Decision(no_such_slot(name), None)
        return replace(
            decided, decisions={name: decided.decisions[name] for name in names}
        )

    async def recommend(
        self,
        asker: Asker,
        listing: Listing,
        unavailable: tuple[str, ...] = (),
    ) -> Decided:
        """One list by no policy; on record as the slot `recommend`."""
        name = RECOMMEND
        policy = Policy(name, "0" * 12, listing=listing)
        slot = Slot(name, "items", policy.version, (name,), count=listing.count or 10)
        policies = PolicySet({name: slot}, {}, {name: policy})
        return await self._decide(asker, [slot], policies, unavailable)

    async def score(self, asker: Asker, targets: Iterable[str]) -> dict[str, Score]:
        """Scores by target, on live features; a score of None says why there is none."""
        known = await self._known(asker)
        features = known.features
        if features is None or not known.is_known:
            if features is not None:
                self.metrics.unknown.labels("visitor").inc()
            reason = known.features_problem or (
                "no_consent" if features is None else "unknown_visitor"
            )
            return {key: Score(None, None, (), reason) for key in targets}
        try:
            return await self._ranking.run(
                lambda: {
                    key: self._scorer(key).score(features, known.now) for key in targets
                }
            )
        except StageError as failure:
            reason = _MODEL_FAILURES[failure.failure]
        return {key: Score(None, None, (), reason) for key in targets}

    def _scorer(self, key: str) -> PropensityScorer:
        held = self._scorers.get(key)
        if held is None:
            held = PropensityScorer(self._settings, find_target(key))
            self._scorers[key] = held
        return held

    async def _decide(
        self,
        asker: Asker,
        slots: list[Slot],
        policies: PolicySet,
        unavailable: tuple[str, ...] = (),
    ) -> Decided:
        started_at = self._ticks()
        known = await self._known(asker, unavailable)
        lists = self.lists.current
        if known.features is not None and not known.is_known:
            self.metrics.unknown.labels("visitor").inc()
        if lists.recommender and known.page.item and not lists.knows(known.page.item):
            self.metrics.unknown.labels("item").inc()
        choices = await self._choices(slots, policies, known, lists)
        latency_ms = (self._ticks() - started_at) * 1_000
        decisions = {}
        for choice in choices:
            self._count(choice)
            decision_id = self._record(choice, known, asker.sender, latency_ms)
            decisions[choice.slot] = Decision(choice, decision_id)
        return Decided(decisions, known, lists, latency_ms)

    async def _known(self, asker: Asker, unavailable: tuple[str, ...] = ()) -> Known:
        found: EntityFeatures | None = None
        problem: str | None = None
        if asker.consents.personalization:
            try:
                found = await self._reading.run(
                    partial(self.features.read, asker.visitor_id)
                )
                problem = STORE_AWAY if found is None else None
            except StageError as failure:
                problem = _STORE_FAILURES[failure.failure]
        return know(
            asker.visitor_id,
            self._now(),
            asker.consents,
            asker.page,
            found,
            problem,
            unavailable,
        )

    async def _choices(
        self, slots: list[Slot], policies: PolicySet, known: Known, lists: HeldLists
    ) -> list[Choice]:
        rng = self._make_rng()
        try:
            return await self._ranking.run(
                lambda: [choose(slot, policies, known, lists, rng) for slot in slots]
            )
        except StageError as failure:
            why = _MODEL_FAILURES[failure.failure]
        return [show_default(slot, policies, known, lists, why) for slot in slots]

    def _record(
        self, choice: Choice, known: Known, sender: Sender, latency_ms: float
    ) -> str | None:
        if self._log is None:
            return None
        if not known.consents.analytics:
            self.metrics.logged.labels("no_consent").inc()
            return None
        decision_id = new_decision_id()
        is_taken = self._log.add(
            partial(decision_record, decision_id, choice, known, sender, latency_ms)
        )
        return decision_id if is_taken else None

    def _count(self, choice: Choice) -> None:
        self.metrics.decisions.labels(choice.slot, choice.outcome).inc()
        if choice.fallback is not None:
            self.metrics.fallbacks.labels(choice.fallback).inc()

    def _now(self) -> datetime:
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _keep_up(self) -> None:
        opened_at = float("-inf")
        while True:
            try:
                self.refresh()
                now = time.monotonic()
                if not self.features.is_open and now - opened_at > _RETRY_STORE_SECONDS:
                    opened_at = now
                    self.features.open()
            except Exception as problem:
                # This thread is all that ever takes up a newer model.
                _LOGGER.exception("refreshing failed (%s)", type(problem).__name__)
            if self._stopping.wait(_REFRESH_SECONDS):
                return


def _stamps(settings: Settings) -> Any:
    try:
        paths = [*policy_paths(settings), *registry_files(settings)]
        return [(path, file_stamp(path)) for path in paths]
    except InputError:
        return None

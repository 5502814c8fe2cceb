"""Answers for one worker: reads what is known, has each slot decided, records it.

Belongs here: the order of the stages, their budgets, and what is done without one that
gives nothing: no request is left without an answer. Not here: HTTP (`app`), or the choice
itself (`deciding`).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache, partial, reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nearline.decisions.caps import Shown
from nearline.decisions.deciding import (
    MODEL_AWAY,
    Choice,
    choose_all,
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
from nearline.decisions.knowing import Consents, Known, Page, know, know_group
from nearline.decisions.learnt import LearntFiles
from nearline.decisions.lists import HeldLists, ListSource
from nearline.decisions.metrics import DecisionMetrics
from nearline.decisions.policies import Listing, Needs, Policy, PolicySet, Slot
from nearline.decisions.policy_files import load_policies, policy_paths
from nearline.decisions.showings import (
    Showings,
    forget_suppressed,
    kept_for,
    open_showings,
)
from nearline.decisions.stages import Failure, Stage, StageError
from nearline.decisions.vocabulary import PERSON_SERVICE, SERVICE
from nearline.errors import InputError
from nearline.experiments.registry import registry_files
from nearline.file_stamps import FileStamp, file_stamp
from nearline.privacy.pseudonyms import Pseudonymizer
from nearline.privacy.suppression import suppressed_keys
from nearline.propensity.scoring import PropensityScorer, Score
from nearline.propensity.targets import TARGETS, find_target
from nearline.settings import Settings
from nearline.triggers.moments import milliseconds
from nearline.triggers.outbox import PendingBlock, PendingBlocks

if TYPE_CHECKING:
    from nearline.decisions.applications import Application
    from nearline.online.reading import EntityFeatures

_LOGGER = logging.getLogger(__name__)

_Result = TypeVar("_Result")

_REFRESH_SECONDS = 1.0
_RETRY_STORE_SECONDS = 5.0
# Ranking keeps the interpreter busy: a second thread would only wait for it.
_FEATURE_THREADS, _RANKING_THREADS, _STATE_THREADS = 2, 1, 2
_FORGET_EVERY_SECONDS = 3_600.0
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
_CAPS_FAILURES: dict[Failure, str] = {
    "slow": "caps_slow",
    "busy": "overloaded",
    "failed": "caps_unavailable",
}
_TRIGGER_FAILURES: dict[Failure, str] = {
    "slow": "triggers_slow",
    "busy": "overloaded",
    "failed": "triggers_unavailable",
}

# Of a visitor who asks in several requests at the same moment.
_TRIES_TO_COUNT = 3

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
        showings: Showings | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        ticks: Callable[[], float] = time.perf_counter,
        make_rng: Callable[[], np.random.Generator] = np.random.default_rng,
    ) -> None:
        """Reads the policies.

        Args:
            log: where decisions are recorded; None records none, and counts nothing as
                shown.

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
        self.learnt = LearntFiles()
        self._showings = showings or open_showings(settings)
        self._pending = PendingBlocks(settings)
        self._suppression: FileStamp | None = None
        self._suppressed: frozenset[str] = frozenset()
        self._has_to_forget = False
        # From the first answer on.
        self._follow_suppression()
        self._is_whole = False
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
        self._counting = self._state_stage("caps")
        self._asking = self._state_stage("triggers")
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def _state_stage(self, name: str) -> Stage:
        return Stage(
            name,
            self._settings.decision_state_seconds,
            threads=_STATE_THREADS,
            most_waiting=_MOST_WAITING,
            observe=self.metrics.stage_seconds.labels(name).observe,
        )

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
        for stage in (self._reading, self._ranking, self._counting, self._asking):
            stage.close()
        for source in (self.features, self._showings, self._pending):
            source.close()

    def refresh(self) -> None:
        """One look at what may have been replaced: who is suppressed, policies, what
        they follow, models, sales."""
        self._follow_suppression()
        stamps = _stamps(self._settings)
        changes_at, now = self.policies.changes_at, self._clock()
        is_due = changes_at is not None and changes_at <= now
        if is_due or stamps != self._policy_stamps:
            self._policy_stamps = stamps
            try:
                policies = load_policies(self._settings, now)
            except InputError as problem:
                _LOGGER.warning("the policies before go on: %s", problem)
            else:
                # What they ask for is there before they are.
                files = _learnt_files(policies) | _learnt_files(self.policies)
                self.learnt.refresh(files)
                self._is_whole = self.features.is_open and self.features.open(
                    _services(policies)
                )
                self.policies = policies
        self.learnt.refresh(_learnt_files(self.policies))
        self.lists.refresh()
        for key in TARGETS:
            self._scorer(key)
        self._forget_suppressed()

    def _follow_suppression(self) -> None:
        """Takes up who is suppressed."""
        stamp = file_stamp(self._settings.suppression)
        if stamp != self._suppression:
            self._suppressed = frozenset(suppressed_keys(self._settings, "visitor"))
            self._suppression = stamp
            self._has_to_forget = self._log is not None

    def _forget_suppressed(self) -> None:
        """Forgets what they were shown."""
        if not self._has_to_forget:
            return
        try:
            forget_suppressed(self._settings, self._showings)
        except Exception as problem:
            # A store that is away; it is tried again, and the rest goes on.
            kind = type(problem).__name__
            _LOGGER.warning("suppressed visitors stay counted for now (%s)", kind)
        else:
            self._has_to_forget = False

    def _forget_old(self) -> None:
        kept = kept_for(self.policies.capped())
        self._showings.forget_old(milliseconds(self._now() - kept))

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

    async def share(
        self,
        slot: Slot,
        policies: PolicySet,
        page: Page,
        segment: str | None,
        groups: Mapping[str, str],
    ) -> Choice:
        """What a slot shows to all of a segment and these groups; nobody's record."""
        known = know_group(self._now(), page, segment, groups)
        lists = self.lists.current
        self._count_unknown_item(page, lists)
        (choice,) = await self._choices([slot], policies, known, lists)
        if choice.fallback is not None:
            self.metrics.fallbacks.labels(choice.fallback).inc()
        return choice

    async def segment_of(self, asker: Asker) -> tuple[str | None, str | None]:
        """The first of the segments that a visitor is in, by what the online store
        serves, and why it cannot be told; none without consent to personalization."""
        known = await self._known(asker, Needs(frozenset({SERVICE})))
        return known.segment, known.features_problem

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
        known = await self._known(asker, Needs(frozenset({SERVICE})))
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
        needs = reduce(or_, map(policies.needs_of, slots), Needs())
        known = await self._known(asker, needs, unavailable)
        lists = self.lists.current
        if known.features is not None and not known.is_known:
            self.metrics.unknown.labels("visitor").inc()
        self._count_unknown_item(known.page, lists)
        choices = await self._counted_choices(slots, policies, needs, known, lists)
        latency_ms = (self._ticks() - started_at) * 1_000
        decisions = {}
        for choice in choices:
            self._count(choice)
            decision_id = self._record(choice, known, asker.sender, latency_ms)
            decisions[choice.slot] = Decision(choice, decision_id)
        return Decided(decisions, known, lists, latency_ms)

    async def _known(
        self, asker: Asker, needs: Needs, unavailable: tuple[str, ...] = ()
    ) -> Known:
        consents = asker.consents
        if asker.visitor_id in self._suppressed:
            # Erased or opted out a second ago: as if they had said yes to nothing.
            consents = Consents()
        whose = asker.visitor_id
        found: Mapping[str, EntityFeatures] | None = None
        shown: Shown | None = None
        pending: list[PendingBlock] | None = None
        problem: str | None = None
        shown_problem: str | None = None
        pending_problem: str | None = None
        if consents.personalization:
            features, counts, messages = await asyncio.gather(
                self._features_of(whose, needs),
                self._shown_to(whose, needs),
                self._waiting_for(whose, needs),
            )
            found, problem = features
            shown, shown_problem = counts
            pending, pending_problem = messages
        found = found or {}
        known = know(
            whose,
            self._now(),
            consents,
            asker.page,
            found.get(SERVICE),
            problem,
            unavailable,
            found.get(PERSON_SERVICE),
        )
        return replace(
            known,
            shown=shown,
            shown_problem=shown_problem,
            pending=pending,
            pending_problem=pending_problem,
            source=asker.sender.source,
        )

    async def _features_of(
        self, visitor_id: str, needs: Needs
    ) -> "tuple[Mapping[str, EntityFeatures] | None, str | None]":
        """Values by service, one read for each, and why some are missing."""
        if not needs.services:
            return None, None

        def read() -> "dict[str, EntityFeatures]":
            read = {
                service: self.features.read(visitor_id, service)
                for service in sorted(needs.services)
            }
            return {service: one for service, one in read.items() if one is not None}

        found, problem = await _tried(self._reading, read, _STORE_FAILURES)
        if found is not None and needs.services - found.keys():
            problem = STORE_AWAY
        return found, problem

    async def _shown_to(
        self, visitor_id: str, needs: Needs
    ) -> tuple[Shown | None, str | None]:
        if not needs.things:
            return None, None
        after = milliseconds(self._now() - kept_for(needs.things))
        return await _tried(
            self._counting,
            lambda: self._showings.read(visitor_id, after),
            _CAPS_FAILURES,
        )

    async def _waiting_for(
        self, visitor_id: str, needs: Needs
    ) -> tuple[list[PendingBlock] | None, str | None]:
        if not needs.has_triggers:
            return None, None
        now = self._now()
        return await _tried(
            self._asking, lambda: self._pending.of(visitor_id, now), _TRIGGER_FAILURES
        )

    async def _counted_choices(
        self,
        slots: list[Slot],
        policies: PolicySet,
        needs: Needs,
        known: Known,
        lists: HeldLists,
    ) -> list[Choice]:
        """Choices whose caps are used up before they are answered.

        What another request took meanwhile is found then, and it is chosen again: no cap
        is ever exceeded.
        """
        for _ in range(_TRIES_TO_COUNT):
            choices = await self._choices(slots, policies, known, lists)
            things = [thing for choice in choices for thing in choice.counted]
            if self._log is None or not things:
                return choices
            is_taken, problem = await _tried(
                self._counting,
                partial(self._showings.take, known.visitor_id, things, known.now_ms),
                _CAPS_FAILURES,
            )
            if is_taken:
                return choices
            shown = None
            if problem is None:
                shown, problem = await self._shown_to(known.visitor_id, needs)
            known = replace(known, shown=shown, shown_problem=problem)
            if shown is None:
                break
        else:
            known = replace(known, shown=None, shown_problem=_CAPS_FAILURES["busy"])
        return await self._choices(slots, policies, known, lists)

    async def _choices(
        self, slots: list[Slot], policies: PolicySet, known: Known, lists: HeldLists
    ) -> list[Choice]:
        rng, learnt = self._make_rng(), self.learnt.current
        choices, why = await _tried(
            self._ranking,
            lambda: choose_all(slots, policies, known, lists, rng, learnt),
            _MODEL_FAILURES,
        )
        if choices is not None:
            return choices
        bare = HeldLists(popular=lists.popular)
        return self._without_model(slots, policies, known, bare, why)

    def _without_model(
        self,
        slots: list[Slot],
        policies: PolicySet,
        known: Known,
        bare: HeldLists,
        why: str | None,
    ) -> list[Choice]:
        """The same choices but for their lists, which nothing is waited for. Whoever is
        held out or in an arm stays there: else those whose list took long would be
        missing from one arm alone."""
        try:
            # The thread that was given up may still draw from the generator before.
            rng, learnt = self._make_rng(), self.learnt.current
            choices = choose_all(slots, policies, known, bare, rng, learnt)
        except Exception as problem:
            # What failed was the choice itself.
            _LOGGER.warning("no choice was made (%s)", type(problem).__name__)
            return [show_default(slot, policies, known, bare, why) for slot in slots]
        return [
            replace(choice, fallback=why) if choice.fallback == MODEL_AWAY else choice
            for choice in choices
        ]

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
        for kind in choice.at_cap:
            self.metrics.capped.labels(kind).inc()
        if choice.is_plain:
            self.metrics.plain.inc()

    def _count_unknown_item(self, page: Page, lists: HeldLists) -> None:
        if lists.recommender and page.item and not lists.knows(page.item):
            self.metrics.unknown.labels("item").inc()

    def _now(self) -> datetime:
        now = self._clock()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _keep_up(self) -> None:
        opened_at = forgot_at = float("-inf")
        while True:
            try:
                self.refresh()
                now = time.monotonic()
                if not self._is_whole and now - opened_at > _RETRY_STORE_SECONDS:
                    opened_at = now
                    self._is_whole = self.features.open(_services(self.policies))
                if now - forgot_at > _FORGET_EVERY_SECONDS:
                    forgot_at = now
                    self._forget_old()
            except Exception as problem:
                # This thread is all that ever takes up a newer model.
                _LOGGER.exception("refreshing failed (%s)", type(problem).__name__)
            if self._stopping.wait(_REFRESH_SECONDS):
                return


async def _tried(
    stage: Stage, function: Callable[[], _Result], failures: Mapping[Failure, str]
) -> tuple[_Result | None, str | None]:
    """What a stage gives, or why it gave nothing."""
    try:
        return await stage.run(function), None
    except StageError as failure:
        return None, failures[failure.failure]


def _services(policies: PolicySet) -> frozenset[str]:
    # Lists and scores that no policy is asked for go by the visitor's own, too.
    return policies.services() | {SERVICE}


def _learnt_files(policies: PolicySet) -> set[Path]:
    return {one.learnt for one in policies.policies.values() if one.learnt is not None}


def _stamps(settings: Settings) -> Any:
    try:
        paths = [*policy_paths(settings), *registry_files(settings)]
        return [(path, file_stamp(path)) for path in paths]
    except InputError:
        return None

"""When a trigger is due, told by what a visitor did: pure functions of facts.

Belongs here: from facts in the order in which they happened to what is armed. Not here:
clocks, caps, consent and what was fired before, but for the mark that it left (`engine`).

Facts are sorted anew whenever one arrives, and a trigger is judged by all of those up to
its due moment: in which order they came does not matter, as long as they came before it
was decided.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nearline.decisions.expressions import NOW
from nearline.triggers.definitions import (
    ACTIVITY,
    FIRST_VISIT_MS,
    KEY_FIELDS,
    Match,
    OnEvents,
    OnFirstVisit,
    OnReturn,
    Trigger,
)
from nearline.triggers.moments import moment_of


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """What triggers know of one event; ordered as it happened.

    `is_foreign`: of another device of the same account. It may end what is armed here,
    and begins nothing.
    """

    at: int
    event_id: str
    name: str = field(compare=False)
    fields: Mapping[str, Any] = field(compare=False, default_factory=dict)
    is_foreign: bool = field(compare=False, default=False)


@dataclass(frozen=True, slots=True)
class Past:
    """What was known of a visitor before the first fact: when first and last seen."""

    first_seen: int | None = None
    last_seen: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """What an earlier firing (or an occasion let pass) left of a trigger and key.

    Facts up to `cursor` are used up; `last_due` is of the last firing.
    """

    cursor: int
    last_due: int | None = None


@dataclass(frozen=True, slots=True)
class Armed:
    """A trigger that is due at `due` unless something happens."""

    key: str
    occasion: Fact
    due: int


def matches(match: Match, fact: Fact) -> bool:
    return fact.name == match.event and (
        match.where is None
        or match.where.is_met({**fact.fields, NOW: moment_of(fact.at)})
    )


def matches_any(given: Iterable[Match], fact: Fact) -> bool:
    return any(matches(match, fact) for match in given)


def keys_of(trigger: Trigger, facts: Iterable[Fact]) -> list[str]:
    """The keys that the trigger has among these facts, each once."""
    per = _key_field(trigger)
    if per is None:
        return [""]
    return sorted(
        {
            str(fact.fields[per])
            for fact in facts
            if fact.fields.get(per) is not None and not fact.is_foreign
        }
    )


def armed(
    trigger: Trigger,
    key: str,
    facts: Sequence[Fact],
    mark: Mark | None = None,
    past: Past = Past(),
) -> Armed | None:
    """What is armed for `key` by facts in their order; None where nothing is."""
    start = _start(trigger, facts, mark)
    if start is None:
        return None
    ready = mark is None or mark.last_due is None
    ready_at = None if ready else mark.last_due + trigger.cooldown_ms  # type: ignore[union-attr,operator]
    finder = _Finder(trigger, key, past)
    found: Armed | None = None
    for fact in facts:
        is_used = fact.at <= start
        if found is not None and fact.at > found.due:
            break
        if not is_used and matches_any(trigger.cancelled_by, fact):
            found = None
            finder.forget()
            continue
        is_occasion = finder.take(fact, is_used)
        if found is None:
            if is_occasion and (ready_at is None or fact.at >= ready_at):
                found = Armed(key, fact, fact.at + trigger.after_ms)
        elif not fact.is_foreign and matches_any(trigger.restarted_by, fact):
            found = Armed(key, found.occasion, fact.at + trigger.after_ms)
    return found


def cart_of(facts: Iterable[Fact], until: int) -> dict[str, int]:
    """Items in the cart at a moment and how many of each, since the last purchase."""
    cart: Counter[str] = Counter()
    for fact in facts:
        if fact.at > until:
            break
        if fact.name == "purchase":
            cart.clear()
        elif not fact.is_foreign and fact.name in ("add_to_cart", "remove_from_cart"):
            for item, quantity in _lines(fact):
                if fact.name == "add_to_cart":
                    cart[item] += quantity
                else:
                    # More cannot be taken out than was seen to be put in.
                    cart[item] = max(0, cart[item] - quantity)
    return {item: quantity for item, quantity in cart.items() if quantity}


def _start(trigger: Trigger, facts: Iterable[Fact], mark: Mark | None) -> int | None:
    """Up to where facts are used up; None where the trigger is not armed again."""
    if mark is None:
        return -1
    if mark.last_due is None or trigger.rearm is None:
        return mark.cursor
    last_due = mark.last_due
    freeing = (
        fact.at
        for fact in facts
        if fact.at > last_due and matches_any(trigger.rearm, fact)
    )
    freed = next(freeing, None)
    # The freeing event may itself be the next occasion.
    return None if freed is None else max(mark.cursor, freed - 1)


class _Finder:
    """Tells occasions among facts that are handed in in order."""

    def __init__(self, trigger: Trigger, key: str, past: Past) -> None:
        self._on = trigger.on
        self._key_field = _key_field(trigger)
        self._key = key
        self._first_seen = past.first_seen
        self._last_seen = past.last_seen
        self.forget()

    def forget(self) -> None:
        """What was counted does not count any more."""
        steps = self._on.steps if isinstance(self._on, OnEvents) else ()
        # When the newest run through the first n steps began; a later one is better.
        self._begun: list[int | None] = [None] * len(steps)
        self._times: deque[int] = deque()

    def take(self, fact: Fact, is_used: bool) -> bool:
        if fact.is_foreign:
            return False
        if isinstance(self._on, OnEvents):
            is_of_key = self._key_field is None or (
                str(fact.fields.get(self._key_field)) == self._key
            )
            return not is_used and is_of_key and self._of_events(self._on, fact)
        is_occasion = False
        if isinstance(self._on, OnReturn) and fact.name == ACTIVITY:
            before = self._last_seen
            is_occasion = before is not None and fact.at - before >= self._on.absence_ms
        elif isinstance(self._on, OnFirstVisit):
            first = fact.at if self._first_seen is None else self._first_seen
            is_occasion = fact.at - first <= FIRST_VISIT_MS and matches(
                self._on.match, fact
            )
        if self._first_seen is None:
            self._first_seen = fact.at
        if fact.name == ACTIVITY:
            self._last_seen = max(fact.at, self._last_seen or fact.at)
        return is_occasion and not is_used

    def _of_events(self, on: OnEvents, fact: Fact) -> bool:
        if len(on.steps) == 1:
            if not matches(on.steps[0], fact):
                return False
            self._times.append(fact.at)
            while on.within_ms is not None and fact.at - self._times[0] > on.within_ms:
                self._times.popleft()
            return len(self._times) >= on.count
        # From the last step on, so that one fact is one step of a run.
        for place in reversed(range(len(on.steps))):
            if not matches(on.steps[place], fact):
                continue
            begun = fact.at if place == 0 else self._begun[place - 1]
            if begun is None:
                continue
            if on.within_ms is not None and fact.at - begun > on.within_ms:
                continue
            if place == len(on.steps) - 1:
                return True
            self._begun[place] = begun
        return False


def _key_field(trigger: Trigger) -> str | None:
    return KEY_FIELDS[trigger.on.per] if isinstance(trigger.on, OnEvents) else None


def _lines(fact: Fact) -> list[tuple[str, int]]:
    lines = fact.fields.get("items")
    if lines:
        return [(line["item_id"], line.get("quantity") or 1) for line in lines]
    item = fact.fields.get("item_id")
    return [] if item is None else [(item, fact.fields.get("quantity") or 1)]

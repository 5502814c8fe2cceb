"""Decides what fires: events in the order of their arrival, and timers in between.

Belongs here: the order of things. Not here: when a trigger is due (`machine`), the log
and the clock (`running`), getting messages out (`deliveries`).

Time is the arrival of events. A timer that is due before the next event's arrival is
decided before that event is taken, whether both are read at once or an hour apart: so
what fires follows from the log alone, and not from batches, pauses or crashes.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nearline.decisions.expressions import NOW
from nearline.decisions.vocabulary import services_of
from nearline.experiments.assignment import bucket_of
from nearline.triggers.arriving import ArrivedEvent
from nearline.triggers.definitions import (
    ACTIVITY,
    CART_FILLED,
    Match,
    OnFeature,
    Trigger,
    Triggers,
)
from nearline.triggers.machine import (
    Armed,
    Fact,
    Mark,
    Past,
    armed,
    cart_of,
    keys_of,
    matches_any,
)
from nearline.triggers.messages import content_of, context, firing_id, message_id
from nearline.triggers.moments import moment_of
from nearline.triggers.state import Said, State, Timer

CLOCK = "clock"
CHECK_AFTER_MS = (1_000, 5_000, 30_000)
"""When features are looked at after a visitor acted: `nearline live` takes about a second."""

EXPOSURES = ("exposure", "slot_visible")
"""Events that say that something was really visible, where they name message or decision;
as `decision_exposure_events` and `decision_click_events` of the dbt project."""

RESPONSES = ("response", "click", "select_item")
"""Those that say that it was answered: clicked or closed."""

_CONSENT_NEEDED = "personalization"


class Known(Protocol):
    """What is known from before the state began: the published release."""

    def pasts(self, before: Mapping[str, int]) -> Mapping[str, Past]:
        """First and last sign of visitors, of what arrived before a moment of each."""
        ...

    def said(self, visitor_id: str, purpose: str) -> Said | None:
        """What the visitor last said of a purpose; None where nothing is known."""
        ...


class NothingKnown:
    """Of an installation without a past."""

    def pasts(self, before: Mapping[str, int]) -> Mapping[str, Past]:
        return {}

    def said(self, visitor_id: str, purpose: str) -> Said | None:
        return None


def latest_said(
    state: State, known: Known, visitor_id: str, purpose: str
) -> Said | None:
    """The visitor's last word on a purpose; None where nothing was ever said."""
    words = (state.said(visitor_id, purpose), known.said(visitor_id, purpose))
    said = [word for word in words if word is not None]
    # Of the same moment, the log's word stands.
    return max(said, key=lambda word: word.at, default=None)


Features = Callable[[str], Mapping[str, Any] | None]
"""A visitor's values in the online store now, by the names of conditions; None where it
cannot be asked."""


@dataclass(frozen=True, slots=True)
class Change:
    """A person came into a segment or left it. `visitors` are all of the person's;
    `since` says when, as the release writes it."""

    visitors: tuple[str, ...]
    since: str


class Engine:
    """Writes into `state`, whose transaction the caller holds."""

    def __init__(
        self,
        state: State,
        triggers: Triggers,
        known: Known | None = None,
        features: Features | None = None,
    ) -> None:
        self._state = state
        self._triggers = triggers
        self._known = known or NothingKnown()
        self._features = features
        self._names = triggers.names()
        self._memory_ms = triggers.memory_ms()
        self._by_event = {
            name: [one for one in triggers.triggers if name in one.names()]
            for name in self._names
        }
        self._cancels = {
            match.event for one in triggers.triggers for match in one.cancelled_by
        }
        self._has_features = any(
            isinstance(one.on, OnFeature) for one in triggers.triggers
        )
        self.fired_count = 0

    @property
    def clock(self) -> int:
        return int(self._state.note(CLOCK) or 0)

    def run(self, events: Iterable[ArrivedEvent], settled: int | None) -> None:
        """Takes events in their order, then decides what was due before `settled`.

        Args:
            settled: a moment before which nothing more will arrive; None where there
                is more to read.
        """
        events = list(events)
        is_due = settled is not None and self._state.next_timer(settled - 1) is not None
        if not events and not is_due:
            # Nothing to write: an idle site costs its disk nothing.
            return
        self._meet(events)
        clock = self.clock
        for event in events:
            if event.arrival > clock:
                self._decide(event.arrival - 1, clock)
                clock = event.arrival
            self._take(event, clock)
            self._decide(clock, clock)
        if settled is not None and settled > clock:
            self._decide(settled - 1, clock)
            clock = settled - 1
        self._state.write_note(CLOCK, str(clock))

    def check_features(self, now: int, limit: int = 500) -> int:
        """Looks at the features of who acted; returns how many visitors that were."""
        due = self._state.connection.execute(
            "select visitor_id, at, round from checks where at <= ? "
            "order by at, visitor_id limit ?",
            (now, limit),
        ).fetchall()
        for visitor, at, round_ in due:
            self._check(visitor, now)
            if round_ + 1 < len(CHECK_AFTER_MS):
                later = at - CHECK_AFTER_MS[round_] + CHECK_AFTER_MS[round_ + 1]
                self._state.connection.execute(
                    "update checks set at = ?, round = ? where visitor_id = ?",
                    (later, round_ + 1, visitor),
                )
            else:
                self._state.connection.execute(
                    "delete from checks where visitor_id = ?", (visitor,)
                )
        return len(due)

    def change_segment(
        self, trigger: Trigger, changes: Iterable[Change], now: int
    ) -> None:
        """Fires once for each person who changed, on the device last seen.

        The caller keeps note of who is a member.
        """
        for change in changes:
            marked = [
                visitor
                for visitor in change.visitors
                if self._state.mark(visitor, trigger.name, "") is not None
            ]
            seen = self._state.last_seen(change.visitors)
            # Where it fired before, so that one cooldown holds for all devices.
            chosen = max(
                marked or change.visitors, key=lambda one: (seen.get(one, 0), one)
            )
            self._consider(trigger, chosen, change.since, now)

    def _meet(self, events: Sequence[ArrivedEvent]) -> None:
        """Notes visitors that are new here, with what the release knows of them."""
        new: dict[str, int] = {}
        for event in events:
            is_new = event.visitor_id not in new
            if (
                event.is_usable
                and is_new
                and not self._state.is_known(event.visitor_id)
            ):
                new[event.visitor_id] = event.arrival
        if not new:
            return
        pasts = self._known.pasts(new)
        for visitor in new:
            self._state.add_visitor(visitor, pasts.get(visitor, Past()))

    def _take(self, event: ArrivedEvent, clock: int) -> None:
        for purpose, is_given in (event.consents or {}).items():
            self._state.say(
                event.visitor_id, purpose, is_given, event.at, event.event_id
            )
        message = event.message_id
        if event.name == "decision" and message is not None:
            self._state.note_decided(event.event_id, event.visitor_id, message)
        if message is None and event.decision_id is not None:
            message = self._state.decided_message(event.decision_id)
        if message is not None:
            self._note_response(event, message, clock)
        if not event.is_usable:
            return
        if event.at < clock - self._memory_ms:
            self._state.count("passed.too_old")
            return
        visitor = event.visitor_id
        self._state.see(visitor, event.at, event.user_id)
        if event.name in self._names:
            fact = Fact(event.at, event.event_id, event.name, event.fields)
            self._add(visitor, fact, clock)
            if event.name in self._cancels:
                self._tell_other_devices(visitor, fact, clock)
        if self._has_features:
            # A round that began goes on: who acts all the time is looked at, too.
            self._state.connection.execute(
                "insert into checks values (?, ?, 0) on conflict do nothing",
                (visitor, clock + CHECK_AFTER_MS[0]),
            )

    def _tell_other_devices(self, visitor: str, fact: Fact, clock: int) -> None:
        user = self._state.user_of(visitor)
        if user is None:
            return
        foreign = Fact(fact.at, fact.event_id, fact.name, fact.fields, True)
        for other in self._state.visitors_of(user):
            if other != visitor:
                self._add(other, foreign, clock)

    def _add(self, visitor: str, fact: Fact, clock: int) -> None:
        if not self._state.add_fact(visitor, fact):
            return
        self._state.forget_facts(visitor, clock - self._memory_ms, ACTIVITY)
        for trigger in self._by_event.get(fact.name, []):
            if matches_any(trigger.cancelled_by, fact):
                count = self._state.withdraw(visitor, trigger.name, fact.at, clock)
                if count:
                    self._state.count("withdrawn", count)
            for key in keys_of(trigger, self._state.facts(visitor)):
                self._arm(trigger, visitor, key)

    def _armed(self, trigger: Trigger, visitor: str, key: str) -> Armed | None:
        return armed(
            trigger,
            key,
            self._state.facts(visitor),
            self._state.mark(visitor, trigger.name, key),
            self._state.past(visitor),
        )

    def _arm(self, trigger: Trigger, visitor: str, key: str) -> None:
        found = self._armed(trigger, visitor, key)
        if found is None:
            self._state.drop_timer(visitor, trigger.name, key)
        else:
            fire_at = found.due + trigger.grace_ms
            self._state.set_timer(Timer(visitor, trigger.name, key, fire_at))

    def _decide(self, until: int, now: int) -> None:
        """Decides every timer up to `until` in the order of time: at its moment, or at
        `now` where an event that came late armed it after that."""
        while (timer := self._state.next_timer(until)) is not None:
            trigger = self._triggers.by_name.get(timer.trigger)
            found = None
            if trigger is not None:
                found = self._armed(trigger, timer.visitor_id, timer.key)
            if trigger is None or found is None:
                self._state.drop_timer(timer.visitor_id, timer.trigger, timer.key)
                continue
            self._fire(trigger, timer.visitor_id, found, max(timer.fire_at, now))
            self._arm(trigger, timer.visitor_id, timer.key)

    def _consider(
        self, trigger: Trigger, visitor: str, occasion_id: str, now: int
    ) -> None:
        """Fires what is told by no event: a change of a segment or a feature."""
        mark = self._state.mark(visitor, trigger.name, "")
        if mark is not None and mark.last_due is not None:
            facts = self._state.facts(visitor)
            last_due = mark.last_due
            is_freed = trigger.rearm is None or any(
                fact.at > last_due and matches_any(trigger.rearm, fact)
                for fact in facts
            )
            if not is_freed or now < last_due + trigger.cooldown_ms:
                self._state.count("passed.not_rearmed")
                return
        found = Armed("", Fact(now, occasion_id, ""), now)
        self._fire(trigger, visitor, found, now)

    def _fire(self, trigger: Trigger, visitor: str, found: Armed, now: int) -> None:
        mark = self._state.mark(visitor, trigger.name, found.key)
        last_due = None if mark is None else mark.last_due
        problem = self._why_not(trigger, visitor, found, now)
        if problem is not None:
            self._state.count(f"passed.{problem}")
            self._state.set_mark(
                visitor, trigger.name, found.key, Mark(found.due, last_due)
            )
            return
        self._state.set_mark(
            visitor, trigger.name, found.key, Mark(found.due, found.due)
        )
        firing = firing_id(trigger.name, visitor, found.key, found.occasion.event_id)
        is_held_out = bucket_of(trigger.salt, visitor) < trigger.hold_out_buckets
        if not self._state.add_firing(
            firing, trigger.name, trigger.version, visitor, found, now, is_held_out
        ):
            return
        self.fired_count += 1
        self._state.count("held_out" if is_held_out else "fired")
        if not is_held_out:
            self._post(trigger, visitor, found, firing, now)

    def _why_not(
        self, trigger: Trigger, visitor: str, found: Armed, now: int
    ) -> str | None:
        facts = self._state.facts(visitor)
        if now - found.due > trigger.expiry_ms:
            return "too_late"
        for purpose in {_CONSENT_NEEDED, trigger.consent}:
            if not self._has_consent(visitor, purpose):
                return "no_consent"
        caps = [(trigger.name, trigger.cap)] if trigger.cap else []
        for name, cap in [*caps, *((None, cap) for cap in self._triggers.caps)]:
            fired = self._state.fired_count(visitor, name, found.due - cap.per_ms)
            if fired >= cap.count:
                return "capped"
        if trigger.when is not None:
            values: dict[str, Any] = {NOW: moment_of(now)}
            if trigger.needs_cart:
                values[CART_FILLED] = bool(cart_of(facts, found.due))
            if services_of(trigger.when):
                read = None if self._features is None else self._features(visitor)
                if read is None:
                    return "features_away"
                values |= read
            if not trigger.when.is_met(values):
                return "condition"
        return None

    def _has_consent(self, visitor: str, purpose: str) -> bool:
        said = latest_said(self._state, self._known, visitor, purpose)
        return said is not None and said.is_given

    def _post(
        self, trigger: Trigger, visitor: str, found: Armed, firing: str, now: int
    ) -> None:
        facts = self._state.facts(visitor)
        quoted = context(trigger, found, facts)
        is_over = _is_cancelled_after(trigger.cancelled_by, facts, found.occasion.at)
        for place, delivery in enumerate(trigger.deliver):
            self._state.add_message(
                {
                    "message_id": message_id(firing, place),
                    "firing_id": firing,
                    "trigger_name": trigger.name,
                    "visitor_id": visitor,
                    "user_id": self._state.user_of(visitor),
                    "purpose": trigger.consent,
                    "channel": delivery.channel,
                    "content": json.dumps(content_of(delivery, trigger, found, quoted)),
                    "state": "withdrawn" if is_over else "waiting",
                    "fired_at": now,
                    "occasion_at": found.occasion.at,
                    "expires_at": found.due + trigger.expiry_ms,
                    "next_at": now,
                    "done_at": now if is_over else None,
                }
            )

    def _note_response(self, event: ArrivedEvent, message: str, clock: int) -> None:
        """An on-page message was seen, or answered, which ends it."""
        if event.name in EXPOSURES:
            self._state.connection.execute(
                "update outbox set shown_count = shown_count + 1 where message_id = ? "
                "and visitor_id = ? and channel in ('block', 'banner')",
                (message, event.visitor_id),
            )
        elif event.name in RESPONSES:
            self._state.connection.execute(
                "update outbox set state = 'sent', done_at = ? where message_id = ? "
                "and visitor_id = ? and channel in ('block', 'banner') "
                "and state = 'waiting'",
                (clock, message, event.visitor_id),
            )

    def _check(self, visitor: str, now: int) -> None:
        values = None if self._features is None else self._features(visitor)
        if values is None:
            self._state.count("passed.features_away")
            return
        for trigger in self._triggers.triggers:
            if not isinstance(trigger.on, OnFeature):
                continue
            holds = trigger.on.condition.is_met({**values, NOW: moment_of(now)})
            held = self._state.is_member(trigger.name, visitor)
            if holds == held:
                continue
            self._state.set_members(trigger.name, [visitor], holds)
            if holds is not trigger.on.is_leaving:
                sign = "+" if holds else "-"
                self._consider(trigger, visitor, f"{sign}{now}", now)


def _is_cancelled_after(
    given: Iterable[Match], facts: Iterable[Fact], moment: int
) -> bool:
    return any(fact.at > moment and matches_any(given, fact) for fact in facts)

"""What a trigger is, as values. How it is written in YAML is for `reading`.

All durations and moments are whole milliseconds; moments are since 1970 (UTC).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nearline.decisions.expressions import Expression
from nearline.privacy.consents import Purpose

Per = Literal["visitor", "item", "category"]
Channel = Literal["block", "banner", "webhook", "email"]

KEY_FIELDS: Mapping[Per, str | None] = {
    "visitor": None,
    "item": "item_id",
    "category": "item_category",
}
"""The field by which firings are counted apart."""

CART_FILLED = "cart.is_filled"
"""In conditions: whether by the visitor's events something is in the cart."""

ACTIVITY = "page_view"
"""The event by which a visitor counts as there."""

FIRST_VISIT_MS = 30 * 60_000
"""How long after the first sign of a visitor an event is of the first visit."""


@dataclass(frozen=True, slots=True)
class Match:
    """Events of a name, and of those the ones of whose fields a condition holds."""

    event: str
    where: Expression | None = None


@dataclass(frozen=True, slots=True)
class OnEvents:
    """Events in this order, within `within_ms` from the first to the last.

    `count` of one event: so many of it.
    """

    steps: tuple[Match, ...]
    count: int = 1
    within_ms: int | None = None
    per: Per = "visitor"


@dataclass(frozen=True, slots=True)
class OnReturn:
    """A page view after `absence_ms` without any."""

    absence_ms: int


@dataclass(frozen=True, slots=True)
class OnFirstVisit:
    """The first visit, by an event that says where the visitor comes from."""

    match: Match


@dataclass(frozen=True, slots=True)
class OnFeature:
    """A condition on live features begins to hold, or `is_leaving` ceases to."""

    condition: Expression
    is_leaving: bool = False


@dataclass(frozen=True, slots=True)
class OnSegment:
    """The visitor's person enters a segment, or `is_leaving` leaves it."""

    segment: str
    is_leaving: bool = False


On = OnEvents | OnReturn | OnFirstVisit | OnFeature | OnSegment


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `count` firings within `per_ms`."""

    count: int
    per_ms: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where a message goes. Of `slot`, `content`, ... each channel uses its own."""

    channel: Channel
    slot: str | None = None
    content: str | None = None
    shows: int | None = None
    url: str | None = None
    subject: str | None = None
    text: str | None = None
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """One trigger.

    `rearm`: None, whatever happens next may fire it; else it fires again only after one
    of these events, and with none of them never. `grace_ms`: how much later than due it
    is decided, so that events that were on their way count. `version`: digest of what is
    written of it.
    """

    name: str
    on: On
    version: str
    description: str = ""
    when: Expression | None = None
    after_ms: int = 0
    grace_ms: int = 0
    restarted_by: tuple[Match, ...] = ()
    cancelled_by: tuple[Match, ...] = ()
    cooldown_ms: int = 0
    rearm: tuple[Match, ...] | None = None
    expiry_ms: int = 3_600_000
    cap: Cap | None = None
    hold_out_buckets: int = 0
    hold_out_salt: str = ""
    consent: Purpose = "personalization"
    deliver: tuple[Delivery, ...] = ()

    @property
    def salt(self) -> str:
        return self.hold_out_salt or f"trigger.{self.name}"

    @property
    def needs_cart(self) -> bool:
        return self.when is not None and CART_FILLED in self.when.names

    def names(self) -> set[str]:
        """Names of the events that it looks at."""
        names = {match.event for match in (*self.restarted_by, *self.cancelled_by)}
        names |= {match.event for match in self.rearm or ()}
        if isinstance(self.on, OnEvents):
            names |= {match.event for match in self.on.steps}
        elif isinstance(self.on, OnFirstVisit):
            names |= {self.on.match.event, ACTIVITY}
        elif isinstance(self.on, OnReturn):
            names.add(ACTIVITY)
        if self.needs_cart:
            names |= {"add_to_cart", "remove_from_cart", "purchase"}
        return names


@dataclass(frozen=True, slots=True)
class Triggers:
    """All triggers of an installation, by name, and the caps over all of them."""

    triggers: tuple[Trigger, ...] = ()
    caps: tuple[Cap, ...] = ()
    by_name: Mapping[str, Trigger] = field(default_factory=dict)

    @classmethod
    def of(cls, triggers: list[Trigger], caps: tuple[Cap, ...] = ()) -> "Triggers":
        ordered = tuple(sorted(triggers, key=lambda trigger: trigger.name))
        return cls(ordered, caps, {trigger.name: trigger for trigger in ordered})

    def names(self) -> frozenset[str]:
        return frozenset(
            {name for trigger in self.triggers for name in trigger.names()}
        )

    def memory_ms(self) -> int:
        """How far back any of them looks, with a day to spare."""
        spans = [_DAY_MS]
        for trigger in self.triggers:
            span = trigger.after_ms + trigger.grace_ms
            if isinstance(trigger.on, OnEvents):
                span += trigger.on.within_ms or 0
            if trigger.needs_cart:
                span = max(span, _CART_MEMORY_MS)
            if trigger.rearm is not None:
                span = max(span, trigger.cooldown_ms)
            spans.append(span + _DAY_MS)
        return max(spans)

    def firings_memory_ms(self) -> int:
        """For how long it must be known what was fired."""
        caps = [cap.per_ms for cap in self.caps]
        caps += [trigger.cap.per_ms for trigger in self.triggers if trigger.cap]
        return max(caps, default=0)


_DAY_MS = 86_400_000
_CART_MEMORY_MS = 30 * _DAY_MS

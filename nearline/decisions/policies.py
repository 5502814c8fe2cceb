"""What a shop decides: slots, blocks and policies as plain values.

Belongs here: their shape and what follows from it alone, such as who sees which arm. Not
here: how they are written down (`policy_files`), or what is chosen (`deciding`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from nearline.decisions.caps import Cap, Capped
from nearline.decisions.expressions import Expression
from nearline.decisions.vocabulary import SERVICE, reads_features, services_of
from nearline.experiments.assignment import (
    BUCKET_COUNT,
    Allocation,
    Assigner,
    bucket_of,
)
from nearline.experiments.definitions import EVERYBODY as WHOEVER
from nearline.experiments.definitions import Eligibility
from nearline.privacy.consents import Purpose
from nearline.recommend.requests import Policy as ListRules

BlockKind = Literal["message", "banner", "items"]
SlotKind = Literal["block", "items"]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of items: how many (None: as the slot says), and by which rules."""

    count: int | None = None
    rules: ListRules = field(default_factory=ListRules)
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One variant of what a slot may show.

    `content` is handed to the page as it is. A block of `items` has its list made when it
    is chosen. The highest `score` leads; without one, the order in the policy.
    """

    name: str
    kind: BlockKind
    content: Mapping[str, Any] = field(default_factory=dict)
    when: Expression | None = None
    score: Expression | None = None
    reason: str | None = None
    listing: Listing | None = None
    caps: tuple[Cap, ...] = ()

    @property
    def capped(self) -> Capped:
        return Capped("block", self.name, self.caps)

    @property
    def is_personal(self) -> bool:
        return any(reads_features(one) for one in (self.when, self.score))


@dataclass(frozen=True, slots=True)
class Arm:
    """What is otherwise in one arm of an experiment; None leaves it as it is."""

    name: str
    blocks: tuple[str, ...] | None = None
    listing: Listing | None = None
    is_default: bool = False
    """Shows the slot's default content: an arm without the policy."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Arms of a policy, by the visitor's bucket.

    One that is not `is_counted` was decided: an arm is shown, and nobody is compared.
    """

    key: str
    assigner: Assigner
    arms: Mapping[str, Arm]
    is_counted: bool = True
    eligibility: Eligibility = WHOEVER

    @classmethod
    def of_shares(
        cls, key: str, salt: str, arms: Mapping[str, tuple[float, Arm]]
    ) -> "Experiment":
        """Arms with their shares of visitors, 0 to 1 together at most."""
        weights = {
            name: round(share * BUCKET_COUNT) for name, (share, _) in arms.items()
        }
        return cls(
            key,
            Assigner(salt, Allocation.from_weights(weights)),
            {name: arm for name, (_, arm) in arms.items()},
        )

    def arm_of(self, visitor_id: str) -> Arm | None:
        """The arm of a visitor; None sees no experiment."""
        variant = self.assigner.variant_of(visitor_id)
        return None if variant is None else self.arms[variant]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is shown what: asked in the order of the fields.

    `version` is 12 hexadecimal digits of the content of its file. With a `trigger` it
    applies while a message of this trigger waits for the visitor. `learnt` is a file of
    `nearline policy learn`, by whose odds its blocks are drawn.
    """

    name: str
    version: str
    needs: frozenset[Purpose] = frozenset()
    caps: tuple[Cap, ...] = ()
    trigger: str | None = None
    when: Expression | None = None
    hold_out_share: float = 0.0
    experiment: Experiment | None = None
    blocks: tuple[str, ...] = ()
    explore_share: float = 0.0
    learnt: Path | None = None
    listing: Listing | None = None
    reason: str | None = None

    @property
    def capped(self) -> Capped:
        return Capped("policy", self.name, self.caps)

    @property
    def block_names(self) -> tuple[str, ...]:
        """All blocks that it may show, in whatever arm."""
        arms = self.experiment.arms.values() if self.experiment else ()
        named = (*self.blocks, *(name for arm in arms for name in arm.blocks or ()))
        return tuple(dict.fromkeys(named))

    def holds_out(self, visitor_id: str) -> bool:
        """Whether a visitor is of the share that never sees the policy."""
        if not self.hold_out_share:
            return False
        bucket = bucket_of(f"hold_out.{self.name}", visitor_id)
        return bucket < round(self.hold_out_share * BUCKET_COUNT)


EVERYBODY = "everybody"
"""Who is in none of the segments that a shared answer differs by."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """How a slot's content may be kept on the way, where it is the same for many.

    `segments` are those that it may differ by: who is first of all in another is shown
    what everybody is. A browser keeps an answer for `browser_seconds`, what lies between
    for `edge_seconds`, and while no newer one can be had for `stale_seconds` more.
    """

    segments: tuple[str, ...]
    browser_seconds: int
    edge_seconds: int
    stale_seconds: int


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a page. The first of its policies that applies fills it.

    `default_items` and `default_block` are what it shows when nothing else can be.
    `shared` is None where it is answered to each visitor alone.
    """

    name: str
    kind: SlotKind
    version: str
    policies: tuple[str, ...] = ()
    default_block: str | None = None
    default_items: tuple[str, ...] = ()
    count: int = 5
    caps: tuple[Cap, ...] = ()
    shared: Sharing | None = None

    @property
    def capped(self) -> Capped:
        return Capped("slot", self.name, self.caps)


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be known of a visitor before slots can be decided."""

    services: frozenset[str] = frozenset()
    things: tuple[Capped, ...] = ()
    """Those with caps, of which it has to be known how often they were shown."""
    has_triggers: bool = False

    def __or__(self, other: "Needs") -> "Needs":
        return Needs(
            self.services | other.services,
            self.things + other.things,
            self.has_triggers or other.has_triggers,
        )


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All files of a folder together; `version` changes with any byte of them."""

    slots: Mapping[str, Slot] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    version: str = ""
    changes_at: datetime | None = None
    """When a defined experiment next starts, stops or goes into another phase."""

    def needs_of(self, slot: Slot) -> Needs:
        """What the policies of a slot ask for."""
        policies = [self.policies[name] for name in slot.policies]
        blocks = [self.blocks[one] for policy in policies for one in policy.block_names]
        expressions = [policy.when for policy in policies]
        expressions += [one for block in blocks for one in (block.when, block.score)]
        services = frozenset().union(*map(services_of, expressions))
        has_list = policies and slot.kind == "items"
        if has_list or any(block.listing for block in blocks):
            services |= {SERVICE}  # by what the visitor did
        experiments = [one.experiment for one in policies if one.experiment is not None]
        if any(policy.learnt for policy in policies) or any(
            experiment.eligibility.segments for experiment in experiments
        ):
            services |= {SERVICE}  # by segment
        things = (
            slot.capped,
            *(policy.capped for policy in policies),
            *(block.capped for block in blocks),
        )
        return Needs(
            services,
            tuple(thing for thing in things if thing.caps),
            any(policy.trigger for policy in policies),
        )

    def capped(self) -> list[Capped]:
        """Everything that has caps."""
        things = (
            *(slot.capped for slot in self.slots.values()),
            *(policy.capped for policy in self.policies.values()),
            *(block.capped for block in self.blocks.values()),
        )
        return [thing for thing in things if thing.caps]

    def services(self) -> frozenset[str]:
        """The feature services that any slot needs."""
        needs = (self.needs_of(slot).services for slot in self.slots.values())
        return frozenset().union(*needs)

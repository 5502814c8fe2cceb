"""What a shop decides: slots, blocks and policies as plain values.

Belongs here: their shape and what follows from it alone, such as who sees which arm. Not
here: how they are written down (`policy_files`), or what is chosen (`deciding`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from nearline.decisions.expressions import Expression
from nearline.decisions.vocabulary import reads_features
from nearline.experiments.assignment import (
    BUCKET_COUNT,
    Allocation,
    Assigner,
    bucket_of,
)
from nearline.experiments.definitions import EVERYBODY, Eligibility
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
    eligibility: Eligibility = EVERYBODY

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

    `version` is 12 hexadecimal digits of the content of its file.
    """

    name: str
    version: str
    needs: frozenset[Purpose] = frozenset()
    when: Expression | None = None
    hold_out_share: float = 0.0
    experiment: Experiment | None = None
    blocks: tuple[str, ...] = ()
    explore_share: float = 0.0
    listing: Listing | None = None
    reason: str | None = None

    def holds_out(self, visitor_id: str) -> bool:
        """Whether a visitor is of the share that never sees the policy."""
        if not self.hold_out_share:
            return False
        bucket = bucket_of(f"hold_out.{self.name}", visitor_id)
        return bucket < round(self.hold_out_share * BUCKET_COUNT)


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on a page. The first of its policies that applies fills it.

    `default_items` and `default_block` are what it shows when nothing else can be.
    """

    name: str
    kind: SlotKind
    version: str
    policies: tuple[str, ...] = ()
    default_block: str | None = None
    default_items: tuple[str, ...] = ()
    count: int = 5


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All files of a folder together."""

    slots: Mapping[str, Slot] = field(default_factory=dict)
    blocks: Mapping[str, Block] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)
    changes_at: datetime | None = None
    """When a defined experiment next starts, stops or goes into another phase."""

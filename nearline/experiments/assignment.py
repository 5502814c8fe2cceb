"""Who sees which variant: a pure function of salt and key, the same in every language.

Belongs here: hash, buckets, allocation of buckets to variants, layers, hold-outs. Not
here: eligibility and exposure, which are events, or where a definition is kept.
docs/experiments.md gives the algorithm bit for bit, the test vectors hold it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import mmh3

from nearline.errors import InputError

BUCKET_COUNT = 10_000
"""Shares are whole numbers of buckets: no language rounds them differently."""

_SALT = re.compile(r"[a-zA-Z0-9_.-]+")


def bucket_of(salt: str, key: str) -> int:
    """Bucket 0 to 9,999 of a key under a salt.

    MurmurHash3 x86 32-bit (Appleby, public domain), seed 0, of the UTF-8 bytes of
    `salt + ":" + key`; then hash * 10,000 / 2^32, rounded down. A salt holds no colon, so
    that no two pairs give the same bytes.
    """
    if not _SALT.fullmatch(salt):
        raise InputError("a salt is made of letters, digits, dots, dashes, underscores")
    value = mmh3.hash(f"{salt}:{key}".encode(), 0, signed=False)
    return (value * BUCKET_COUNT) >> 32


@dataclass(frozen=True, slots=True)
class Span:
    """Buckets from `first` on, `count` of them, of one variant."""

    variant: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which bucket belongs to which variant; a bucket in no span belongs to none."""

    spans: tuple[Span, ...]

    @classmethod
    def from_weights(cls, weights: Mapping[str, int]) -> "Allocation":
        """Variants in the order given, weights in buckets (5,000 is half)."""
        return cls(()).reweigh(weights)

    def variant_of(self, bucket: int) -> str | None:
        for span in self.spans:
            if span.first <= bucket < span.first + span.count:
                return span.variant
        return None

    def reweigh(self, weights: Mapping[str, int]) -> "Allocation":
        """The allocation of new weights that moves as few keys as can be.

        Sticky: a key leaves its variant only where that variant shrinks, and nobody
        goes from one variant that stays or grows to another. Each change is to be
        recorded, and read as a phase of its own.
        """
        _require_weights(weights)
        owners = [self.variant_of(bucket) for bucket in range(BUCKET_COUNT)]
        kept: dict[str, int] = dict.fromkeys(weights, 0)
        for bucket, owner in enumerate(owners):
            if owner is None:
                continue
            if kept.get(owner, 0) < weights.get(owner, 0):
                kept[owner] += 1
            else:
                owners[bucket] = None
        free = (bucket for bucket, owner in enumerate(owners) if owner is None)
        for variant, count in weights.items():
            for _ in range(count - kept[variant]):
                owners[next(free)] = variant
        return Allocation(tuple(_spans(owners)))


@dataclass(frozen=True, slots=True)
class Slot:
    """An experiment's share of a layer: in no two slots of a layer is anybody twice."""

    layer: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class HoldOut:
    """Buckets below `count` under its own salt see no experiment at all."""

    salt: str
    count: int


@dataclass(frozen=True, slots=True)
class Assigner:
    """One experiment's assignment.

    `salt` is the experiment's own, so that its arms are independent of any other's.
    Layer and hold-outs are hashed under salts of theirs, for the same reason.
    """

    salt: str
    allocation: Allocation
    slot: Slot | None = None
    hold_outs: tuple[HoldOut, ...] = ()

    def variant_of(self, key: str) -> str | None:
        """The variant of a bucketing key (visitor, person); None sees no experiment."""
        if any(bucket_of(one.salt, key) < one.count for one in self.hold_outs):
            return None
        if self.slot is not None:
            place = bucket_of(self.slot.layer, key) - self.slot.first
            if not 0 <= place < self.slot.count:
                return None
        return self.allocation.variant_of(bucket_of(self.salt, key))


def _require_weights(weights: Mapping[str, int]) -> None:
    if any(count < 0 for count in weights.values()):
        raise InputError("weights must not be negative")
    if not 0 < sum(weights.values()) <= BUCKET_COUNT:
        raise InputError(
            f"weights are buckets and add up to at most {BUCKET_COUNT:,}, and to more "
            "than 0"
        )


def _spans(owners: list[str | None]) -> list[Span]:
    spans: list[Span] = []
    first = 0
    for bucket in range(1, len(owners) + 1):
        if bucket == len(owners) or owners[bucket] != owners[first]:
            owner = owners[first]
            if owner is not None:
                spans.append(Span(owner, first, bucket - first))
            first = bucket
    return spans

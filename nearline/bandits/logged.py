"""Decisions as arrays: what could be chosen, what was, how likely that was, what it gave.

Belongs here: the shape that policies and estimators share. Not here: where decisions are
read from (`reading`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nearline.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float64]
    Codes: TypeAlias = NDArray[np.int64]
    Flags: TypeAlias = NDArray[np.bool_]

NO_CONTEXT = ""
"""The context of a decision that has none."""

# Cells of situations x actions that are held at once: half a gigabyte.
_MOST_CELLS = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Situations:
    """All that a policy may look at, each once.

    `context[s]` is a code into `contexts`; `eligible[s, a]` says whether `actions[a]`
    could be chosen. In every situation at least one action can be.
    """

    actions: tuple[str, ...]
    contexts: tuple[str, ...]
    context: "Codes"
    eligible: "Flags"

    def __len__(self) -> int:
        return len(self.context)


@dataclass(frozen=True, slots=True, eq=False)
class LoggedDecisions:
    """One row per decision.

    `situation` and `action` are codes, `probability` is that of the action in its
    situation when it was logged (above 0, up to 1), `unit` numbers visitors or persons from
    0: rows of one unit belong together. `left_out` counts decisions that were not
    usable, by reason.
    """

    situations: Situations
    situation: "Codes"
    action: "Codes"
    probability: "Numbers"
    reward: "Numbers"
    unit: "Codes"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.action)

    @property
    def context(self) -> "Codes":
        return self.situations.context[self.situation]

    @property
    def unit_count(self) -> int:
        return int(self.unit.max()) + 1 if len(self.unit) else 0

    def where(self, is_kept: "Flags") -> "LoggedDecisions":
        """Some of the decisions, with all situations and units as they are numbered."""
        return replace(
            self,
            situation=self.situation[is_kept],
            action=self.action[is_kept],
            probability=self.probability[is_kept],
            reward=self.reward[is_kept],
            unit=self.unit[is_kept],
        )


def logged_decisions(
    choices: Sequence[str],
    probabilities: "Numbers",
    rewards: "Numbers",
    *,
    candidates: Sequence[Sequence[str] | None] | None = None,
    contexts: Sequence[str] | None = None,
    units: Sequence[object] | None = None,
    left_out: Mapping[str, int] | None = None,
) -> LoggedDecisions:
    """Decisions from one value a row.

    Args:
        candidates: what could be chosen, with or without the choice itself; where it is
            not told, all that was ever a choice or a candidate.
        contexts: what was known and may be decided by, such as a segment.
        units: whose decision it is; by default each is somebody else's.

    Raises:
        InputError: a probability is not above 0 and up to 1, a reward is no finite
            number, or there is too much to choose from.
    """
    count = len(choices)
    probability = np.asarray(probabilities, dtype=np.float64)
    reward = np.asarray(rewards, dtype=np.float64)
    outside = int(np.count_nonzero(~((probability > 0) & (probability <= 1))))
    if outside:
        raise InputError(
            f"probability is not above 0 and up to 1 in {outside:,} decisions; "
            "log the odds that each choice was drawn with"
        )
    if not np.isfinite(reward).all():
        raise InputError("reward is not a finite number everywhere; mend those rows")
    slates: list[Sequence[str] | None] = (
        [None] * count if candidates is None else list(candidates)
    )
    actions = tuple(
        sorted({*choices, *(name for slate in slates if slate for name in slate)})
    )
    code = {name: number for number, name in enumerate(actions)}
    action = np.fromiter((code[name] for name in choices), np.int64, count)
    labels, context = _coded([NO_CONTEXT] * count if contexts is None else contexts)
    sets: dict[frozenset[str] | None, int] = {}
    slate = np.fromiter(
        (
            sets.setdefault(
                None if not names else frozenset((*names, choice)), len(sets)
            )
            for names, choice in zip(slates, choices, strict=True)
        ),
        np.int64,
        count,
    )
    pairs, situation = np.unique(
        context * max(len(sets), 1) + slate, return_inverse=True
    )
    if len(pairs) * len(actions) > _MOST_CELLS:
        raise InputError(
            f"{len(actions):,} things to choose from in {len(pairs):,} different "
            "situations are too many; judge a slot with fewer candidates"
        )
    eligible_in = np.ones((max(len(sets), 1), len(actions)), dtype=bool)
    for names, number in sets.items():
        if names is not None:
            eligible_in[number] = False
            eligible_in[number, [code[name] for name in names]] = True
    _, unit = _coded(range(count) if units is None else units)
    return LoggedDecisions(
        Situations(
            actions,
            labels,
            pairs // max(len(sets), 1),
            eligible_in[pairs % max(len(sets), 1)],
        ),
        situation.astype(np.int64),
        action,
        probability,
        reward,
        unit,
        dict(left_out or {}),
    )


def _coded(values: Sequence[object]) -> "tuple[tuple[str, ...], Codes]":
    """Each value's number; labels in order, so that nothing hangs on that of the rows."""
    labels = sorted({str(value) for value in values})
    code = {label: number for number, label in enumerate(labels)}
    return tuple(labels), np.fromiter(
        (code[str(value)] for value in values), np.int64, len(values)
    )

"""What is known of each action in each context: how often shown, and what it gave.

A pure value learnt from rows, which adds up: yesterday's and today's are their sum. It
holds no row of a person.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.errors import InputError

if TYPE_CHECKING:
    from nearline.bandits.logged import LoggedDecisions, Numbers

Cell = tuple[str, str]
"""Context and action."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Decisions, and the sum of their rewards."""

    decision_count: int = 0
    reward_sum: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.decision_count + other.decision_count,
            self.reward_sum + other.reward_sum,
        )


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`tallies` by context and action.

    `learnt_until`: decisions up to this moment (UTC) are counted, so that an increment
    takes later ones alone and nothing is judged by what it was learnt from; None where
    the rows had no times.
    """

    tallies: Mapping[Cell, Tally]
    learnt_until: datetime | None = None

    def __add__(self, other: "Outcomes") -> "Outcomes":
        tallies = dict(self.tallies)
        for cell, tally in other.tallies.items():
            tallies[cell] = tallies.get(cell, Tally()) + tally
        moments = [
            moment
            for moment in (self.learnt_until, other.learnt_until)
            if moment is not None
        ]
        return Outcomes(tallies, max(moments, default=None))

    @property
    def decision_count(self) -> int:
        return sum(tally.decision_count for tally in self.tallies.values())

    def cells(
        self, contexts: Sequence[str], actions: Sequence[str]
    ) -> "tuple[Numbers, Numbers]":
        """Counts and sums of rewards, contexts x actions; 0 where nothing is known."""
        counts = np.zeros((len(contexts), len(actions)))
        sums = np.zeros_like(counts)
        rows = {context: number for number, context in enumerate(contexts)}
        columns = {action: number for number, action in enumerate(actions)}
        for (context, action), tally in self.tallies.items():
            if context in rows and action in columns:
                place = rows[context], columns[action]
                counts[place] = tally.decision_count
                sums[place] = tally.reward_sum
        return counts, sums

    def as_rows(self) -> list[dict[str, Any]]:
        """For JSON, in an order that hangs on nothing but the content."""
        return [
            {
                "context": context,
                "action": action,
                "decisions": tally.decision_count,
                "reward": tally.reward_sum,
            }
            for (context, action), tally in sorted(self.tallies.items())
        ]

    @classmethod
    def from_rows(
        cls, rows: Iterable[Mapping[str, Any]], learnt_until: datetime | None
    ) -> "Outcomes":
        """From what `as_rows` gave.

        Raises:
            KeyError, TypeError, ValueError: a row is not of that form.
        """
        tallies = {}
        for row in rows:
            tally = Tally(int(row["decisions"]), float(row["reward"]))
            if tally.decision_count < 0 or not np.isfinite(tally.reward_sum):
                raise ValueError("no count")
            tallies[str(row["context"]), str(row["action"])] = tally
        return cls(tallies, learnt_until)


def count_outcomes(
    decisions: "LoggedDecisions", learnt_until: datetime | None = None
) -> Outcomes:
    """What logged decisions say of each action in each context."""
    situations = decisions.situations
    shape = (len(situations.contexts), len(situations.actions))
    cell = decisions.context * shape[1] + decisions.action
    size = shape[0] * shape[1]
    counts = np.bincount(cell, minlength=size).reshape(shape)
    sums = np.bincount(cell, weights=decisions.reward, minlength=size).reshape(shape)
    return Outcomes(
        {
            (situations.contexts[row], situations.actions[column]): Tally(
                int(counts[row, column]), float(sums[row, column])
            )
            for row, column in zip(*np.nonzero(counts), strict=True)
        },
        learnt_until,
    )


def require_share_like(decisions: "LoggedDecisions", asker: str = "thompson") -> None:
    """Rewards from 0 to 1, as Beta posteriors and priors take them.

    Raises:
        InputError: they are not; `asker` needs them.
    """
    reward = decisions.reward
    if len(reward) and not (reward.min() >= 0 and reward.max() <= 1):
        raise InputError(
            f"{asker} needs rewards from 0 to 1, and these are not; take a reward such "
            "as clicked, or epsilon-greedy without a prior"
        )

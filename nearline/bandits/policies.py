"""Policies: in each situation, the odds of each action. They add up to 1, and are known.

Belongs here: policies that need no rows any more. Not here: what is counted for those that
learn (`outcomes`), and files (`policy_files`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nearline.bandits.logged import NO_CONTEXT, Situations
from nearline.bandits.outcomes import Outcomes
from nearline.bandits.priors import Prior
from nearline.bandits.thompson import best_arm_odds
from nearline.errors import InputError

if TYPE_CHECKING:
    from nearline.bandits.logged import Flags, Numbers

ANY_CONTEXT = "*"
"""In a table of odds, the row of contexts that have none of their own."""


class Policy(Protocol):
    """What decides."""

    @property
    def name(self) -> str:
        """For people and for the log."""

    def odds(self, situations: Situations) -> "Odds":
        """The probability of each action in each situation."""


@dataclass(frozen=True, slots=True, eq=False)
class Odds:
    """`values[s, a]`: probability of action a in situation s; 0 where it cannot be chosen.

    `error` is a bound of how far a value may be off, where it is computed numerically.
    """

    values: "Numbers"
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Uniform:
    """All that can be chosen is alike."""

    name: str = "uniform"

    def odds(self, situations: Situations) -> Odds:
        return Odds(_shared(situations.eligible, situations.eligible))


@dataclass(frozen=True, slots=True)
class Always:
    """One action; where it cannot be chosen, all that can be are alike."""

    action: str

    @property
    def name(self) -> str:
        return f"always {self.action}"

    def odds(self, situations: Situations) -> Odds:
        is_action = np.array([name == self.action for name in situations.actions])
        return Odds(_shared(situations.eligible & is_action, situations.eligible))


@dataclass(frozen=True, slots=True)
class Table:
    """Odds as written down, by context; among what can be chosen, in these proportions."""

    odds_by_context: Mapping[str, Mapping[str, float]]
    name: str = "table"

    def odds(self, situations: Situations) -> Odds:
        written = np.array(
            [
                [
                    self.odds_by_context.get(
                        context, self.odds_by_context.get(ANY_CONTEXT, {})
                    ).get(action, 0.0)
                    for action in situations.actions
                ]
                for context in situations.contexts
            ]
        ).reshape(len(situations.contexts), len(situations.actions))
        return Odds(_shared(written[situations.context], situations.eligible))


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """The best so far, but for a share `epsilon` that is drawn from all alike.

    The best is that of the highest mean reward in its context; where several are, they
    share. Means are drawn to the overall mean by one decision's weight, so that one
    lucky click does not decide. Decisions of a `prior` count as any other.
    """

    outcomes: Outcomes
    epsilon: float = 0.1
    name: str = "epsilon-greedy"
    prior: Prior | None = None

    def odds(self, situations: Situations) -> Odds:
        counts, sums = _known(self.outcomes, self.prior, situations)
        total = counts.sum()
        overall = sums.sum() / total if total else 0.0
        means = ((sums + overall) / (counts + 1))[situations.context]
        eligible = situations.eligible
        # Within rounding alike is alike: sums may be added up in another order.
        means = np.where(eligible, np.round(means, 12), -np.inf)
        best = _shared(means == means.max(axis=1, keepdims=True), eligible)
        return Odds(_with_share(best, eligible, self.epsilon))


@dataclass(frozen=True, slots=True)
class Thompson:
    """Each action as likely as it is the best, by what is known of it.

    Thompson (1933), Biometrika 25: Beta posteriors of rewards from 0 to 1 (a reward
    between counts as that share of a success), from a uniform prior, to which the
    decisions of `prior` are added. A share `epsilon` is drawn from all alike, which bounds
    how rare an action can become: what is never shown can never be judged again.
    """

    outcomes: Outcomes
    epsilon: float = 0.0
    name: str = "thompson"
    prior: Prior | None = None

    def odds(self, situations: Situations) -> Odds:
        counts, sums = _known(self.outcomes, self.prior, situations)
        best, error = best_arm_odds(
            (1 + sums)[situations.context],
            (1 + counts - sums)[situations.context],
            situations.eligible,
        )
        return Odds(_with_share(best, situations.eligible, self.epsilon), error)


def _known(
    outcomes: Outcomes, prior: Prior | None, situations: Situations
) -> "tuple[Numbers, Numbers]":
    """Counts and sums of rewards, contexts x actions, of decisions and of the prior."""
    counts, sums = outcomes.cells(situations.contexts, situations.actions)
    if prior is None:
        return counts, sums
    more_counts, more_sums = prior.cells(situations.actions)
    return counts + more_counts, sums + more_sums


def odds_among(
    policy: Policy, candidates: Sequence[str], context: str = NO_CONTEXT
) -> dict[str, float]:
    """The odds of each candidate in one situation: what to draw with, and to log.

    Those of Thompson sampling take milliseconds: hold them for as long as the policy and
    the candidates are the same.

    Raises:
        InputError: there is nothing to choose from.
    """
    if not candidates:
        raise InputError("there is no candidate to choose from")
    situation = Situations(
        tuple(candidates),
        (context,),
        np.zeros(1, dtype=np.int64),
        np.ones((1, len(candidates)), dtype=bool),
    )
    (odds,) = policy.odds(situation).values
    return dict(zip(candidates, odds.tolist(), strict=True))


def _with_share(odds: "Numbers", eligible: "Flags", epsilon: float) -> "Numbers":
    return (1 - epsilon) * odds + epsilon * _shared(eligible, eligible)


def _shared(weights: "Flags | Numbers", eligible: "Flags") -> "Numbers":
    """`weights` of what is eligible, adding up to 1; all alike where none has any."""
    masked = np.where(eligible, np.asarray(weights, dtype=np.float64), 0.0)
    totals = masked.sum(axis=1, keepdims=True)
    masked = np.where(totals > 0, masked, eligible)
    return np.asarray(masked / masked.sum(axis=1, keepdims=True), dtype=np.float64)

"""Policies as JSON files: odds written down, or what a learning policy knows.

{"kind": "table", "odds": {"*": {"banner_a": 0.7, "banner_b": 0.3}}}
{"kind": "thompson", "epsilon": 0.02, "slot": "home", "reward": "clicked",
 "context": "segment", "learnt_until": "2026-11-29T12:00:00+00:00",
 "outcomes": [{"context": "", "action": "banner_a", "decisions": 40, "reward": 3.0}],
 "prior": {"experiment": "banners", "metric": "conversion",
           "outcomes": [{"action": "banner_a", "decisions": 20, "reward": 0.8}]}}
"""

import json
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nearline.bandits.outcomes import Outcomes
from nearline.bandits.policies import EpsilonGreedy, Policy, Table, Thompson
from nearline.bandits.priors import Prior
from nearline.errors import InputError
from nearline.replacement import replace_file

LEARNING = ("epsilon-greedy", "thompson")


@dataclass(frozen=True, slots=True)
class Learnt:
    """A learning policy's file: what it knows, and of what.

    `slot`, `reward` and `context` (the column, or None) say which rows may be added.
    `prior` is what it started from, and no decision.
    """

    kind: str
    epsilon: float
    slot: str | None
    reward: str
    context: str | None
    outcomes: Outcomes
    prior: Prior | None = None

    def policy(self) -> Policy:
        return learning_policy(self.kind, self.outcomes, self.epsilon, self.prior)

    def as_json(self) -> dict[str, Any]:
        until = self.outcomes.learnt_until
        return {
            "kind": self.kind,
            "epsilon": self.epsilon,
            "slot": self.slot,
            "reward": self.reward,
            "context": self.context,
            "learnt_until": None if until is None else until.isoformat(),
            "outcomes": self.outcomes.as_rows(),
            "prior": None if self.prior is None else self.prior.as_json(),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Learnt":
        """From what `as_json` gave.

        Raises:
            KeyError, TypeError, ValueError: it is not of that form.
        """
        until = content["learnt_until"]
        moment = None if until is None else datetime.fromisoformat(until)
        if moment is not None and moment.tzinfo is None:
            raise ValueError("no zone")
        epsilon = float(content["epsilon"])
        if content["kind"] not in LEARNING or not 0 <= epsilon <= 1:
            raise ValueError("no policy that learns")
        # Files of before there were priors have none.
        prior = content.get("prior")
        return cls(
            content["kind"],
            epsilon,
            content["slot"],
            content["reward"],
            content["context"],
            Outcomes.from_rows(content["outcomes"], moment),
            None if prior is None else Prior.from_json(prior),
        )


def learning_policy(
    kind: str, outcomes: Outcomes, epsilon: float, prior: Prior | None = None
) -> Policy:
    """The policy of a kind in `LEARNING`, with what it knows."""
    if kind == "thompson":
        return Thompson(outcomes, epsilon, prior=prior)
    return EpsilonGreedy(outcomes, epsilon, prior=prior)


def read_policy_file(path: Path) -> Table | Learnt:
    """A policy from its file.

    Raises:
        InputError: there is no such file, or it holds no policy.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read; give a policy's JSON file") from error
    except ValueError as error:
        raise InputError(
            f"{path.name} is no JSON; give a policy's JSON file"
        ) from error
    kind = content.get("kind") if isinstance(content, dict) else None
    try:
        if kind == "table":
            return Table(_odds(content["odds"]), path.stem)
        if kind in LEARNING:
            return Learnt.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path.name} is not of the form of a policy of kind {kind}; "
            "see docs/off-policy.md"
        ) from error
    raise InputError(
        f"{path.name} has no kind of policy; write table, {' or '.join(LEARNING)}"
    )


def write_learnt(learnt: Learnt, path: Path) -> None:
    """Writes the file whole or not at all."""
    text = json.dumps(learnt.as_json(), indent=2) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))


def _odds(written: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    odds = {
        str(context): {str(action): float(share) for action, share in row.items()}
        for context, row in written.items()
    }
    for row in odds.values():
        if not all(math.isfinite(share) and share >= 0 for share in row.values()):
            raise ValueError("no odds")
        if not math.isclose(sum(row.values()), 1, abs_tol=1e-6):
            raise ValueError("odds do not add up to 1")
    return odds

"""Policies that `nearline policy learn` wrote, as decisions draw by them.

Belongs here: holding the files in memory, the last good one where a newer cannot be used,
and odds as they are logged. Not here: learning, or what the odds are
(`nearline.bandits`).
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from nearline.bandits.logged import NO_CONTEXT
from nearline.bandits.policies import Policy, odds_among
from nearline.bandits.policy_files import Learnt, read_policy_file
from nearline.errors import InputError
from nearline.file_stamps import FileStamp, file_stamp

_LOGGER = logging.getLogger(__name__)

ODDS_DIGITS = 6
"""Of all odds that are logged."""

CONTEXTS = ("segment", "source", "trigger_name")
"""What is known when it is decided, and may be learnt by (`nearline.bandits.reading`)."""

_MOST_HELD = 10_000


class LearntOdds:
    """A learnt policy at one moment. `version` is a digest of its file; `slot` the one
    that it was learnt for, where it says."""

    def __init__(
        self,
        policy: Policy,
        context: str | None,
        version: str,
        slot: str | None = None,
    ) -> None:
        """
        Raises:
            InputError: it looks at what is not known when it is decided.
        """
        if context is not None and context not in CONTEXTS:
            raise InputError(
                f"was learnt by {context}, which is not known when it is decided; learn "
                f"by one of {', '.join(CONTEXTS)}"
            )
        self.context = context
        self.version = version
        self.slot = slot
        self._policy = policy
        self._odds = lru_cache(_MOST_HELD)(self._reckoned)

    def odds(
        self, candidates: Sequence[str], context: str | None
    ) -> Mapping[str, float]:
        """The odds of each candidate, as they can be logged: to draw with, and to state."""
        # In an order of their own, so that equal questions meet.
        return self._odds(tuple(sorted(candidates)), context or NO_CONTEXT)

    def _reckoned(self, candidates: tuple[str, ...], context: str) -> dict[str, float]:
        exact = odds_among(self._policy, candidates, context)
        odds = {name: round(share, ODDS_DIGITS) for name, share in exact.items()}
        # What rounding takes or adds is the likeliest's: then the odds that are drawn
        # with and those that are logged are the same, and what is drawn never has none.
        likeliest = max(exact, key=lambda name: exact[name])
        rest = sum(share for name, share in odds.items() if name != likeliest)
        odds[likeliest] = round(1 - rest, ODDS_DIGITS)
        return odds


def read_learnt(path: Path) -> LearntOdds:
    """A policy from its file.

    Raises:
        InputError: it cannot be used; says why and the fix.
    """
    found = read_policy_file(path)
    version = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    if isinstance(found, Learnt):
        return LearntOdds(found.policy(), found.context, version, found.slot)
    is_by_context = set(found.odds_by_context) - {"*"}
    return LearntOdds(found, "segment" if is_by_context else None, version)


class LearntFiles:
    """Keeps `current` up to date; call `refresh` from one thread."""

    def __init__(self) -> None:
        self.current: Mapping[Path, LearntOdds] = {}
        self._stamps: dict[Path, FileStamp | None] = {}

    def refresh(self, paths: Collection[Path]) -> None:
        """Takes up files that are new or were changed, and drops others than `paths`."""
        held = {path: one for path, one in self.current.items() if path in paths}
        self._stamps = {
            path: self._stamps[path] for path in paths & self._stamps.keys()
        }
        for path in sorted(paths):
            stamp = file_stamp(path)
            if path in self._stamps and stamp == self._stamps[path]:
                continue
            self._stamps[path] = stamp
            try:
                found = read_learnt(path)
                # The first odds take many times as long as the next.
                found.odds(("a", "b"), None)
            except (InputError, OSError) as problem:
                goes_on = "the one before goes on" if path in held else "in plain order"
                said = problem if isinstance(problem, InputError) else type(problem)
                _LOGGER.warning("learnt policy %s: %s (%s)", path.name, said, goes_on)
            else:
                held[path] = found
        if held != self.current:
            self.current = held

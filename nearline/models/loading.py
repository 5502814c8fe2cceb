"""Loads the model that serves, or the last good one before it, and says which.

Every file is held against the checksum in the card, and the card against the one in the
state, before a loader sees a byte. That guards against damage, not against somebody who
may write to `$NEARLINE_HOME`: whoever can do that can change the code as well.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from nearline.errors import InputError
from nearline.models.cards import BrokenVersionError, ModelCard
from nearline.models.registry import check_version, find_state, version_folder

_LOGGER = logging.getLogger(__name__)

Model = TypeVar("Model")

# What a loader meets in files of another code version: their checksums are right.
_UNREADABLE = (BrokenVersionError, OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class Champion(Generic[Model]):
    """A model that can serve. `problems` says why it is not the champion itself."""

    model: Model
    card: ModelCard
    problems: tuple[str, ...] = ()

    @property
    def is_fallback(self) -> bool:
        return bool(self.problems)


@dataclass(frozen=True, slots=True)
class NoChampion:
    """No version can serve: none was promoted yet, or none is whole."""

    reason: str
    problems: tuple[str, ...] = ()


def load_champion(
    models: Path, name: str, read: Callable[[Path], Model]
) -> Champion[Model] | NoChampion:
    """The champion of `name`; where it is damaged, the latest before it that is whole.

    Each problem is a warning in the log and stands in the answer, which whoever serves
    passes on.

    Args:
        read: makes the model from the files of its folder.
    """
    try:
        state, state_problem = find_state(models, name)
    except BrokenVersionError as problem:
        _LOGGER.warning("model %s cannot serve: %s", name, problem)
        return NoChampion(str(problem), (str(problem),))
    problems = [] if state_problem is None else [state_problem]
    for version in state.serving_order():
        try:
            card = check_version(models, name, version, state)
            model = read(version_folder(models, name, version))
        except InputError:
            problems.append(f"{name} v{version} is missing")
        except _UNREADABLE as problem:
            problems.append(
                str(problem)
                if isinstance(problem, BrokenVersionError)
                else f"{name} v{version} cannot be read ({type(problem).__name__})"
            )
        else:
            if problems:
                _LOGGER.warning(
                    "model %s: v%d serves, since %s", name, version, "; ".join(problems)
                )
            return Champion(model, card, tuple(problems))
    if not state.serving_order():
        return NoChampion(f"no version of {name} was promoted yet", tuple(problems))
    reason = f"no version of {name} that was promoted can be read"
    _LOGGER.warning("%s: %s", reason, "; ".join(problems))
    return NoChampion(reason, tuple(problems))


def load_version(
    models: Path, name: str, version: int, read: Callable[[Path], Model]
) -> Champion[Model]:
    """One version, such as the challenger, and no other in its place.

    Raises:
        InputError: there is no such version.
        BrokenVersionError: it is not as it was written.
    """
    state, _ = find_state(models, name)
    card = check_version(models, name, version, state)
    return Champion(read(version_folder(models, name, version)), card)

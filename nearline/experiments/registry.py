"""All experiments of an installation together: defined, held against what ran, decided.

Belongs here: putting definitions, decisions and the record of what ran together. Not here:
each of the three by itself (`definitions`, `decision_record`, `journal`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nearline.experiments.decision_record import (
    DECISIONS_FILE,
    ExperimentDecision,
    load_decisions,
)
from nearline.experiments.definitions import (
    LAYERS_FILE,
    ExperimentDefinition,
    definition_paths,
    load_definitions,
)
from nearline.experiments.journal import (
    JOURNAL_FILE,
    changes,
    note_definitions,
    read_journal,
)
from nearline.experiments.rollout import Standing, stand
from nearline.settings import Settings
from nearline.yaml_forms import FileError, FileProblem


@dataclass(frozen=True, slots=True)
class Registered:
    """An experiment as it stands at the moment that was asked about."""

    definition: ExperimentDefinition
    decision: ExperimentDecision | None
    standing: Standing


def registry_files(settings: Settings) -> list[Path]:
    """The files that say what experiments there are and what became of them."""
    folder = settings.experiment_folder
    others = (folder / name for name in (LAYERS_FILE, DECISIONS_FILE))
    return [*definition_paths(folder), *(path for path in others if path.is_file())]


def load_registry(settings: Settings, now: datetime) -> dict[str, Registered]:
    """The experiments by key, each as it stands at `now`.

    Raises:
        FileError: something is wrong in the definitions or decisions.
        InputError: the file of decisions cannot be read.
    """
    folder = settings.experiment_folder
    definitions = load_definitions(folder)
    decisions = load_decisions(folder)
    problems = list(_unknown_variants(definitions, decisions))
    if problems:
        raise FileError(problems)
    return {
        one.key: Registered(
            one, decisions.get(one.key), stand(one, decisions.get(one.key), now)
        )
        for one in definitions
    }


def load_running(settings: Settings, now: datetime) -> dict[str, Registered]:
    """The same, for who assigns by it: what has changed while it ran is refused, and what
    runs now is noted, so that it cannot be changed later.

    Raises:
        FileError, InputError: as `load_registry`; or a definition is not what ran.
    """
    found = load_registry(settings, now)
    note_running(settings, [one.definition for one in found.values()], now)
    return found


def note_running(
    settings: Settings, definitions: Iterable[ExperimentDefinition], now: datetime
) -> int:
    """Notes definitions that are what ran; how many were new or changed.

    Raises:
        FileError: one is not what ran.
    """
    definitions = tuple(definitions)
    journal = settings.experiment_state / JOURNAL_FILE
    problems = tuple(changes(definitions, read_journal(journal), now))
    if problems:
        raise FileError(problems)
    return note_definitions(journal, definitions, now)


def _unknown_variants(
    definitions: Iterable[ExperimentDefinition],
    decisions: Mapping[str, ExperimentDecision],
) -> Iterable[FileProblem]:
    for one in definitions:
        decision = decisions.get(one.key)
        variant = None if decision is None else decision.variant
        if variant is not None and variant not in one.all_variants:
            yield FileProblem(
                DECISIONS_FILE,
                one.key,
                "ships a variant that its definition does not have (there: "
                f"{', '.join(one.all_variants)}); decide again",
            )

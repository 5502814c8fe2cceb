"""All experiments of an installation together: defined, held against what ran, decided.

Belongs here: putting definitions, decisions and the record of what ran together. Not here:
each of the three by itself (`definitions`, `decision_record`, `journal`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from nearline.errors import InputError
from nearline.experiments.decision_record import (
    DECISIONS_FILE,
    ExperimentDecision,
    Finding,
    load_decisions,
)
from nearline.experiments.definitions import (
    LAYERS_FILE,
    ExperimentDefinition,
    Phase,
    definition_paths,
    load_definitions,
)
from nearline.experiments.journal import (
    JOURNAL_FILE,
    changes,
    gone,
    note_definitions,
    read_journal,
)
from nearline.experiments.rollout import Standing, stand
from nearline.publication.tables import table_path
from nearline.settings import Settings
from nearline.yaml_forms import FileError, FileProblem


@dataclass(frozen=True, slots=True)
class Registered:
    """An experiment as it stands at the moment that was asked about."""

    definition: ExperimentDefinition
    decision: ExperimentDecision | None
    standing: Standing
    phase: Phase


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
            one,
            decisions.get(one.key),
            stand(one, decisions.get(one.key), now),
            one.phase_at(now),
        )
        for one in definitions
    }


def find_registered(
    registry: Mapping[str, Registered], key: str, settings: Settings
) -> Registered:
    """The experiment of a key.

    Raises:
        InputError: there is none.
    """
    found = registry.get(key)
    if found is None:
        raise InputError(
            f"there is no experiment of this key in {settings.experiment_folder}; see "
            "`nearline experiment list`"
        )
    return found


def past_experiments(registry: Mapping[str, Registered]) -> tuple[Registered, ...]:
    """Those that were decided, the latest first: what was learnt so far."""
    decided = [
        (one.decision.decided_at, one)
        for one in registry.values()
        if one.decision is not None
    ]
    return tuple(one for _, one in sorted(decided, key=lambda it: it[0], reverse=True))


def make_decision(
    settings: Settings,
    key: str,
    variant: str | None,
    why: str,
    by: str,
    now: datetime,
) -> ExperimentDecision:
    """A decision, with what the published results say at the moment.

    `variant` None stops the experiment.

    Raises:
        InputError: there is no such experiment or variant, or it has not begun.
    """
    registered = find_registered(load_registry(settings, now), key, settings)
    definition = registered.definition
    if variant is not None and variant not in definition.all_variants:
        there = ", ".join(definition.all_variants)
        raise InputError(f"{key} has no such variant; it has {there}")
    if registered.standing.state in ("draft", "waiting"):
        raise InputError(f"{key} has not begun; there is nothing to decide yet")
    for option, text in (("--why", why), ("--by", by)):
        if not text.strip():
            raise InputError(f"{option} is empty; whoever comes later needs it")
    found = _published_findings(settings, definition)
    return ExperimentDecision(
        key=key,
        decided_at=now,
        variant=variant,
        why=why.strip(),
        by=by.strip(),
        version=definition.version,
        release_id=settings.published.resolve().name if found else None,
        findings=found,
    )


def _published_findings(
    settings: Settings, definition: ExperimentDefinition
) -> tuple[Finding, ...]:
    """What the published results say, the primary metric first; none before a run."""
    path = table_path(settings.published.resolve(), "fct_experiment_results")
    if not path.exists():
        return ()
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = [one.name for one in fields(Finding)]
    renamed = {"metric": "metric_name", "variant": "variant_key"}
    table = pq.read_table(
        path,
        columns=[renamed.get(name, name) for name in columns],
        filters=pc.field("experiment_key") == definition.key,
    )
    order = {name: place for place, name in enumerate(definition.all_metrics)}
    rows = [
        Finding(**dict(zip(columns, row.values(), strict=True)))
        for row in table.to_pylist()
    ]
    return tuple(
        sorted(
            (one for one in rows if one.metric in order),
            key=lambda one: (order[one.metric], one.variant),
        )
    )


def load_running(settings: Settings, now: datetime) -> dict[str, Registered]:
    """The same, for who assigns by it: what has changed while it ran is refused, and what
    runs now is noted, so that it cannot be changed later.

    Raises:
        FileError, InputError: as `load_registry`; or a definition is not what ran.
    """
    found = load_registry(settings, now)
    note_running(settings, [one.definition for one in found.values()], now)
    return found


def changes_of_running(
    settings: Settings, definitions: Iterable[ExperimentDefinition], now: datetime
) -> tuple[FileProblem, ...]:
    """How definitions are not what ran here."""
    journal = read_journal(settings.experiment_state / JOURNAL_FILE)
    return tuple(changes(definitions, journal, now))


def gone_experiments(
    settings: Settings, definitions: Iterable[ExperimentDefinition], now: datetime
) -> tuple[FileProblem, ...]:
    """What ran here and has no definition any more."""
    journal = read_journal(settings.experiment_state / JOURNAL_FILE)
    return tuple(gone(definitions, journal, now))


def note_running(
    settings: Settings, definitions: Iterable[ExperimentDefinition], now: datetime
) -> int:
    """Notes definitions that are what ran; how many were new or changed.

    Raises:
        FileError: one is not what ran.
    """
    definitions = tuple(definitions)
    problems = changes_of_running(settings, definitions, now)
    if problems:
        raise FileError(problems)
    return note_definitions(settings.experiment_state / JOURNAL_FILE, definitions, now)


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

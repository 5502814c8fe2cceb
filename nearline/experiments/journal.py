"""What ran: an append-only record of definitions, as they were when they were in force.

A definition in a file can be edited; who saw what cannot. The record is what a definition
is held against, so that a running experiment changes by a new phase or not at all.
Belongs here: the record and the comparison. Not here: mistakes of a definition by itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nearline.errors import InputError
from nearline.experiments.decision_record import append_line
from nearline.experiments.definitions import ExperimentDefinition, Phase
from nearline.yaml_forms import FileProblem

JOURNAL_FILE = "ran.jsonl"

BACKDATED_BY = timedelta(days=1)
"""A phase may be noted so long after its start: edited, reviewed, then deployed."""

_FROZEN = (
    "unit",
    "analysed_by",
    "control",
    "layer",
    "hold_outs",
    "eligibility",
    "horizon",
    "looks",
    "planned_units",
    "contaminated",
)
_FROZEN_OF_PHASE = (
    "starts_at",
    "variants",
    "salt",
    "primary_metric",
    "metrics",
    "guardrails",
)


@dataclass(frozen=True, slots=True)
class Noted:
    """A definition as it was from `seen_at` on: fields that hold while it runs, as JSON."""

    key: str
    seen_at: datetime
    whole: Mapping[str, Any]
    phases: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, definition: ExperimentDefinition, seen_at: datetime) -> "Noted":
        return cls(
            definition.key,
            seen_at,
            {name: _plain(getattr(definition, name)) for name in _FROZEN},
            tuple(_phase(phase) for phase in definition.phases),
        )

    def begun(self, now: datetime) -> int:
        """How many phases have begun."""
        starts = [phase["starts_at"] for phase in self.phases]
        return sum(
            one is not None and datetime.fromisoformat(one) <= now for one in starts
        )


def read_journal(path: Path) -> dict[str, Noted]:
    """What was noted last, by experiment; nothing where there is no record yet.

    Raises:
        InputError: the record was changed by hand.
    """
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            content = json.loads(line)
            noted = Noted(
                content["key"],
                datetime.fromisoformat(content["seen_at"]),
                content["whole"],
                tuple(content["phases"]),
            )
        except (ValueError, KeyError, TypeError):
            raise InputError(
                f"{path.name}: line {number} cannot be read; take that line out"
            ) from None
        found[noted.key] = noted
    return found


def note_definitions(
    path: Path, definitions: Iterable[ExperimentDefinition], now: datetime
) -> int:
    """Appends what is new or changed; call it once `changes` finds nothing to refuse.

    Returns how many experiments were noted.
    """
    before = read_journal(path)
    count = 0
    for definition in definitions:
        noted, known = Noted.of(definition, now), before.get(definition.key)
        if known is None or (known.whole, known.phases) != (noted.whole, noted.phases):
            append_line(path, asdict(noted))
            count += 1
    return count


def changes(
    definitions: Iterable[ExperimentDefinition],
    before: Mapping[str, Noted],
    now: datetime,
) -> Iterator[FileProblem]:
    """What is no longer as it ran. What has not begun may be changed as one likes."""
    for definition in definitions:
        known = before.get(definition.key)
        if known is None:
            continue
        begun = known.begun(now)
        if not begun:
            continue
        file, noted = f"{definition.key}.yml", Noted.of(definition, now)
        since = f"{known.seen_at:%Y-%m-%d %H:%M} UTC"
        for name in _FROZEN:
            if noted.whole[name] != known.whole[name]:
                yield FileProblem(
                    file,
                    name,
                    f"was {_told(known.whole[name])} in the experiment that runs since "
                    f"{since}; put it back, or begin an experiment of another key",
                )
        for number in range(begun):
            yield from _changes_of_phase(
                file, number, noted.phases, known.phases[number]
            )
        for number in range(begun, noted.begun(now)):
            phase = definition.phases[number]
            assert phase.starts_at is not None
            if phase.starts_at < now - BACKDATED_BY and not _was_planned(
                phase, number, known
            ):
                yield FileProblem(
                    file,
                    f"phases.{number - 1}.starts_at",
                    "begins in the past, when units were still assigned as before; let "
                    "it begin from now on",
                )


def gone(
    definitions: Iterable[ExperimentDefinition],
    before: Mapping[str, Noted],
    now: datetime,
) -> Iterator[FileProblem]:
    """What ran and is defined no more: nobody could say later what it was about."""
    there = {one.key for one in definitions}
    for key, known in sorted(before.items()):
        if key not in there and known.begun(now):
            yield FileProblem(
                f"{key}.yml",
                "",
                "is gone, and the experiment ran; put it back, and stop or decide it",
            )


def _changes_of_phase(
    file: str,
    number: int,
    phases: tuple[Mapping[str, Any], ...],
    ran: Mapping[str, Any],
) -> Iterator[FileProblem]:
    place = "" if number == 0 else f"phases.{number - 1}."
    if number >= len(phases):
        yield FileProblem(
            file, place.rstrip("."), "has run; put it back, and add another after it"
        )
        return
    for name in _FROZEN_OF_PHASE:
        if phases[number][name] != ran[name]:
            yield FileProblem(
                file,
                f"{place}{_in_file(name)}",
                f"was {_told(ran[name])} when it ran; put it back, and state the change "
                "as a phase of its own under `phases` with starts_at and why",
            )


def _was_planned(phase: Phase, number: int, known: Noted) -> bool:
    return number < len(known.phases) and known.phases[number] == _phase(phase)


def _phase(phase: Phase) -> Mapping[str, Any]:
    stated = {name: _plain(getattr(phase, name)) for name in _FROZEN_OF_PHASE}
    # Spans of buckets follow the order of the variants, which a mapping does not compare.
    return {**stated, "variants": [list(one) for one in phase.variants.items()]}


def _in_file(name: str) -> str:
    """Where the file has what a phase calls so."""
    return {
        "primary_metric": "metrics.primary",
        "metrics": "metrics.secondary",
        "guardrails": "metrics.guardrails",
    }.get(name, name)


def _plain(value: Any) -> Any:
    """As JSON gives it back, so that a field compares with its record."""
    return json.loads(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    return asdict(value)


def _told(value: Any) -> str:
    if value is None:
        return "not set"
    is_variants = isinstance(value, list) and value and isinstance(value[0], list)
    return json.dumps(dict(value) if is_variants else value)

"""What was decided about an experiment: an append-only file beside the definitions.

A decision changes what visitors see, so it is kept where the definitions are: reviewed,
deployed and rolled back with them. Belongs here: its shape, reading and appending. Not
here: what follows for a visitor (`rollout`).
"""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nearline.errors import InputError

DECISIONS_FILE = "_decisions.jsonl"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one metric showed when it was decided; shares of control, 0.02 is 2 % more."""

    metric: str
    variant: str
    relative_lift: float | None
    relative_ci_low: float | None
    relative_ci_high: float | None
    verdict: str


@dataclass(frozen=True, slots=True)
class ExperimentDecision:
    """One line of the file; of several for one experiment the last holds.

    `variant` is what everybody sees from `decided_at` on; None: it was stopped. `by` is
    who answers for it, `version` that of the definition, `release_id` what was looked at.
    """

    key: str
    decided_at: datetime
    variant: str | None
    why: str
    by: str
    version: str
    release_id: str | None = None
    findings: tuple[Finding, ...] = ()


_LINE = TypeAdapter(ExperimentDecision)


def load_decisions(folder: Path) -> dict[str, ExperimentDecision]:
    """The decision that holds, by experiment; none where nothing was decided.

    Raises:
        InputError: a line cannot be read; it names the file and the line.
    """
    path = folder / DECISIONS_FILE
    if not path.is_file():
        return {}
    found: dict[str, ExperimentDecision] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            decision = _LINE.validate_json(line)
        except ValidationError as problem:
            where = ".".join(map(str, problem.errors()[0]["loc"])) or "line"
            raise InputError(
                f"{DECISIONS_FILE}: line {number}: {where} cannot be read; put the line "
                "back as `nearline experiment decide` wrote it"
            ) from None
        if decision.decided_at.tzinfo is None:
            raise InputError(
                f"{DECISIONS_FILE}: line {number}: decided_at has no time zone; add Z"
            )
        found[decision.key] = decision
    return found


def append_decision(folder: Path, decision: ExperimentDecision) -> None:
    """Adds a line that would outlive a power cut; two at once both stay."""
    append_line(folder / DECISIONS_FILE, asdict(decision))


def append_line(path: Path, content: Mapping[str, Any]) -> None:
    """One JSON object as the last line of a file, which is made where missing."""
    line = json.dumps(content, default=_as_text) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # Its own lock: one beside it would be committed with the definitions.
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(type(value).__name__)

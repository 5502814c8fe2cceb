"""What a check found, and the file that keeps it.

Belongs here: the result as a value, its file format, and what counts as blocking. Not
here: how a check is evaluated, or what a run does about a failure.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from nearline.replacement import replace_file

FORMAT_VERSION = 1
CHECKS_FILE = "checks.json"

Status = Literal["passed", "failed", "errored"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check of one table.

    `failed` means that the data break the rule, `errored` that the rule could not be
    asked. `message` names table, column and counts, never a value. `seconds` is this
    check's share: the checks of a table are asked together and share the time evenly.
    """

    table: str
    check: str
    severity: Literal["block", "warn"]
    status: Status
    message: str
    checked_row_count: int
    seconds: float
    column: str | None = None
    topic: Literal["quality", "privacy"] = "quality"

    @property
    def is_blocking(self) -> bool:
        """Whether this result keeps the release from being published."""
        return self.severity == "block" and self.status != "passed"


def blocking(results: Sequence[CheckResult]) -> list[CheckResult]:
    """The results that forbid publication; an empty list allows it."""
    return [result for result in results if result.is_blocking]


def write_checks(
    path: Path, release_id: str, results: Sequence[CheckResult], checked_at: datetime
) -> None:
    """Writes `checks.json`, whole or not at all.

    An object with `format` (1), `release_id`, `checked_at` (ISO 8601, UTC),
    `is_blocked`, `counts` (`passed`; `failed` and `errored`: of severity block;
    `warned`: of severity warn, failed or errored), `seconds` (sum) and `checks`: a list
    of objects with `CheckResult`'s fields by their names, in the order of evaluation.
    """
    body = {
        "format": FORMAT_VERSION,
        "release_id": release_id,
        "checked_at": checked_at.astimezone(UTC).isoformat(timespec="seconds"),
        "is_blocked": bool(blocking(results)),
        "counts": {
            "passed": sum(result.status == "passed" for result in results),
            "failed": sum(
                result.is_blocking and result.status == "failed" for result in results
            ),
            "errored": sum(
                result.is_blocking and result.status == "errored" for result in results
            ),
            "warned": sum(
                result.severity == "warn" and result.status != "passed"
                for result in results
            ),
        },
        "seconds": round(sum(result.seconds for result in results), 3),
        "checks": [
            {**asdict(result), "seconds": round(result.seconds, 6)}
            for result in results
        ],
    }
    text = json.dumps(body, indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()))

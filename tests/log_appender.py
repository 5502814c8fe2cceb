"""A process that appends to the log its environment names, for tests to run and kill.

    python -m tests.log_appender TOPIC NAME COUNT [RECORDS_AN_APPEND]

After each append it prints the ids of the records that the log acknowledged. COUNT 0: it
goes on until it is killed.
"""

import hashlib
import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing

from nearline.log import NewRecord, open_log
from nearline.settings import Settings, load_settings

KEYS = 5


def numbered_record(name: str, number: int) -> NewRecord:
    """Key and value follow from the id; the value tells if a byte of it was lost."""
    record_id = f"{name}-{number}"
    digest = hashlib.sha256(record_id.encode()).hexdigest()
    return NewRecord(f"{name}-ключ-{number % KEYS}", f"{record_id} {digest}".encode())


def record_id(value: bytes) -> str:
    """The id that `numbered_record` put in."""
    return value.split()[0].decode()


def start_appender(
    settings: Settings,
    topic: str,
    name: str,
    count: int = 0,
    together: int = 1,
    variables: dict[str, str] | None = None,
) -> subprocess.Popen[str]:
    """Runs this module on the log of `settings`."""
    chosen = {
        f"NEARLINE_{field.upper()}": str(value)
        for field, value in settings.model_dump(
            exclude_none=True, exclude_defaults=True
        ).items()
    }
    arguments = [topic, name, str(count), str(together)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.log_appender", *arguments],
        env={**os.environ, **chosen, **(variables or {})},
        stdout=subprocess.PIPE,
        text=True,
    )


def _append(arguments: Sequence[str]) -> None:
    topic, name = arguments[:2]
    count, together = int(arguments[2]), int(arguments[3])
    numbers = iter(range(count)) if count else itertools.count()
    with closing(open_log(load_settings(), topic)) as log:
        while part := list(itertools.islice(numbers, together)):
            log.append([numbered_record(name, number) for number in part])
            print(*[f"{name}-{number}" for number in part], flush=True)


if __name__ == "__main__":
    _append(sys.argv[1:])

"""What the processor holds in memory over an hour of events, in time-lapse.

    python -m tests.benchmarks.live_hour HOME

HOME is a published shop whose log may be written to. The processor's clock is ours: each
micro-batch is handed what comes in five seconds, at a hundred events a second, and the
next one follows at once. It prints the resident memory in MiB after each ten minutes.
"""

import json
import random
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nearline.live.processor import Processor
from nearline.log import EVENTS, open_log
from nearline.settings import Settings
from tests.benchmarks.live import HOUR_RATE, record_of
from tests.memory import resident_mebibytes

_BATCH_SECONDS = 5
_SECONDS = 3_600
_SAID_EVERY_SECONDS = 600
# Of 18 events each.
_VISITORS = 20_000
_STAY_SECONDS = 600


def measure_hour(home: Path) -> list[float]:
    """MiB at the start and after each ten minutes."""
    settings = Settings(home=home)
    rng = random.Random(4)
    start = now = datetime.now(UTC)
    found = []
    with (
        closing(open_log(settings, EVENTS)) as log,
        Processor(settings, clock=lambda: now) as processor,
    ):
        while not processor.run_batch().is_idle:
            pass
        found.append(resident_mebibytes())
        for second in range(0, _SECONDS, _BATCH_SECONDS):
            now = start + timedelta(seconds=second)
            log.append(
                [
                    record_of(_visitor_at(second, rng), now)
                    for _ in range(HOUR_RATE * _BATCH_SECONDS)
                ]
            )
            now += timedelta(seconds=_BATCH_SECONDS)
            processor.run_batch()
            if (second + _BATCH_SECONDS) % _SAID_EVERY_SECONDS == 0:
                found.append(resident_mebibytes())
        assert processor.lag() == 0
    return found


def _visitor_at(second: int, rng: random.Random) -> int:
    """One of those who are there: each stays for ten minutes."""
    first = second * _VISITORS // _SECONDS
    return first + rng.randrange(_STAY_SECONDS * _VISITORS // _SECONDS)


if __name__ == "__main__":
    print(json.dumps(measure_hour(Path(sys.argv[1]))))

"""A processor as a process of its own, for tests to run and kill.

    python -m tests.unit.live.processor_process SETTINGS FEATURE_REPO NOW BATCH_RECORDS

SETTINGS are JSON. It prints a line a micro-batch, and ends when nothing is left.
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from nearline.live.processor import Processor
from nearline.settings import Settings


def _run(settings: str, feature_repo: str, now: str, batch_records: str) -> None:
    with Processor(
        Settings.model_validate_json(settings),
        feature_repo=Path(feature_repo),
        clock=lambda: datetime.fromisoformat(now),
        max_records=int(batch_records),
        settling=timedelta(0),
    ) as processor:
        while not (batch := processor.run_batch()).is_idle:
            print(batch.records, flush=True)


if __name__ == "__main__":
    _run(*sys.argv[1:])

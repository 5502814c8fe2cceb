"""`nearline triggers run` as a user starts it, and events that happen now."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.unit.triggers.trigger_site import TriggerSite, contract_event
from tests.webhook_receiver import SECRET

NEARLINE = Path(sys.executable).with_name("nearline")


def now_event(who: str, name: str, **fields: Any) -> dict[str, Any]:
    """An event that happens and arrives now."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    event_id = f"{who}_{name}_{random.getrandbits(48):x}"
    return contract_event(event_id, who, name, moment, moment, **fields)


@contextmanager
def running_triggers(site: TriggerSite) -> "Iterator[subprocess.Popen[bytes]]":
    """`nearline triggers run` in a process of its own, killed with the block."""
    chosen = site.settings.model_dump(exclude_none=True, exclude_defaults=True)
    environment = {
        f"NEARLINE_{name.upper()}": str(value) for name, value in chosen.items()
    }
    environment["NEARLINE_TRIGGER_SECRET"] = SECRET.decode()
    process = subprocess.Popen(
        [NEARLINE, "triggers", "run"], env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()

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

from tests.unit.triggers.trigger_site import TriggerSite, visitor
from tests.webhook_receiver import SECRET

NEARLINE = Path(sys.executable).with_name("nearline")


def now_event(who: str, name: str, **fields: Any) -> dict[str, Any]:
    """An event that happens and arrives now."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {
        "event_id": f"{who}_{name}_{random.getrandbits(48):x}",
        "event_name": name,
        "schema_version": "1.2",
        "occurred_at": moment,
        "received_at": moment,
        "source": "web",
        "visitor_id": visitor(who),
        "consent_analytics": True,
        "consent_personalization": True,
        "consent_marketing": True,
        "consent_notice_version": "1",
    } | fields


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

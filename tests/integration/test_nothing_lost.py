"""By force: collector and landing are killed at random, again and again, under load.

Clients send until they are told that an event is in, as the tracker does. In the end
every acknowledged event is in `fct_events` exactly once, and nothing else is.
`NEARLINE_CRASH_SECONDS` makes the time under fire longer.
"""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.insistent_client import InsistentClient
from tests.pipeline import NEARLINE, Home
from tests.ports import free_port

SECONDS_UNDER_FIRE = float(os.environ.get("NEARLINE_CRASH_SECONDS", "15"))
CLIENTS = 4
LAND_ONCE = (
    "from nearline.landing.from_log import land_log; "
    "from nearline.settings import load_settings; land_log(load_settings())"
)


@dataclass
class Process:
    """A command that is killed and started again."""

    arguments: list[str]
    environment: dict[str, str]
    starts: int = 0
    running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.starts += 1
        # A group of its own: workers die with their parent, as on a machine that falls.
        self.running = subprocess.Popen(
            self.arguments,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self) -> None:
        assert self.running is not None
        with suppress(ProcessLookupError):  # it may be done before the shot
            os.killpg(self.running.pid, signal.SIGKILL)
        self.running.wait()


def fire_at(
    home: Home,
    seconds: float,
    also: Callable[[], None] = lambda: None,
) -> list[InsistentClient]:
    """Clients under load while collector and landing are killed; returns the clients.

    Args:
        also: called between shots, for instance to kill the broker.
    """
    variables = home.environment()
    port = free_port()
    collector = Process(
        [str(NEARLINE), "collector", "--port", str(port), "--workers", "2"], variables
    )
    landing = Process([sys.executable, "-c", LAND_ONCE], variables)
    stop = threading.Event()
    clients = [
        InsistentClient(f"http://127.0.0.1:{port}", f"client{n}", stop)
        for n in range(CLIENTS)
    ]
    threads = [threading.Thread(target=client.run) for client in clients]
    shots = random.Random(11)
    targets = itertools.cycle((collector, landing, landing))
    collector.start()
    landing.start()
    for thread in threads:
        thread.start()
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            # From the middle of a start to the middle of full work.
            time.sleep(shots.uniform(0.2, 3.5))
            target = next(targets)
            target.kill()
            target.start()
            also()
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=90)
        collector.kill()
        landing.kill()
    assert not any(thread.is_alive() for thread in threads)
    assert collector.starts > 1
    assert landing.starts > 1
    return clients


def check_that_nothing_is_lost(home: Home, clients: list[InsistentClient]) -> None:
    """Every acknowledged event is published once, and none that nobody sent."""
    acknowledged = set().union(*(client.acknowledged for client in clients))
    sent = {event_id for client in clients for event_id in client.sent}
    assert [problem for client in clients for problem in client.surprises] == []
    assert acknowledged
    published = [row[0] for row in home.published("select event_id from {fct_events}")]
    assert len(published) == len(set(published))
    assert acknowledged <= set(published)
    assert set(published) <= sent


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def test_acknowledged_events_survive_every_kill_and_count_once(home: Home) -> None:
    home.path.mkdir()
    clients = fire_at(home, SECONDS_UNDER_FIRE)
    home.nearline("run")
    check_that_nothing_is_lost(home, clients)

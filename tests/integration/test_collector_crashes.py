"""The collector is killed under load, whole or one worker: no acknowledged event is lost.

Clients send until they are told that an event is in. `NEARLINE_CRASH_ROUNDS` asks for
more rounds.
"""

import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.insistent_client import InsistentClient
from tests.running_collector import (
    running_collector,
)

ROUNDS = int(os.environ.get("NEARLINE_CRASH_ROUNDS", "4"))
# The server takes a second death within 5.5 seconds for a crash loop, and ends.
SECONDS_BETWEEN_DEATHS_OF_A_WORKER = 6.5
CLIENTS = 4


@pytest.mark.parametrize("victim", ["all", "worker"])
def test_every_acknowledged_event_is_in_the_log_and_no_other(
    victim: str, tmp_path: Path
) -> None:
    rng = random.Random(victim)
    with running_collector(tmp_path / "home", workers=2) as collector:
        stop = threading.Event()
        clients = [
            InsistentClient(collector.url, f"c{number}", stop)
            for number in range(CLIENTS)
        ]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        for _ in range(ROUNDS if victim == "all" else ROUNDS // 2):
            time.sleep(rng.uniform(0.2, 1.0))
            if victim == "all":
                collector.kill()
                collector.start()
            else:
                os.kill(rng.choice(collector.worker_ids()), signal.SIGKILL)
                time.sleep(SECONDS_BETWEEN_DEATHS_OF_A_WORKER)
                collector.restart_if_ended()
        stop.set()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        collector.kill()
        in_log = collector.event_ids()
    acknowledged = set().union(*(client.acknowledged for client in clients))
    sent = set().union(*(client.sent for client in clients))
    assert [surprise for client in clients for surprise in client.surprises] == []
    assert acknowledged
    assert acknowledged <= set(in_log)
    assert set(in_log) <= sent
    assert acknowledged == sent

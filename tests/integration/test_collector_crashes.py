"""The collector is killed under load, whole or one worker: no acknowledged event is lost.

Clients send until they are told that an event is in. `NEARLINE_CRASH_ROUNDS` asks for
more rounds.
"""

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.running_collector import (
    RunningCollector,
    batch,
    event,
    running_collector,
)

ROUNDS = int(os.environ.get("NEARLINE_CRASH_ROUNDS", "4"))
# The server takes a second death within 5.5 seconds for a crash loop, and ends.
SECONDS_BETWEEN_DEATHS_OF_A_WORKER = 6.5
CLIENTS = 4


@dataclass
class Client:
    """Sends batches one after the other, each until it is acknowledged."""

    collector: RunningCollector
    name: str
    stop: threading.Event
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    surprises: list[str] = field(default_factory=list)

    def run(self) -> None:
        rng = random.Random(self.name)
        with httpx.Client(base_url=self.collector.url, timeout=30) as http:
            while not self.stop.is_set():
                first = len(self.sent)
                count = rng.choice((1, 10, 50))
                ids = [f"{self.name}-{first + place}" for place in range(count)]
                self.sent.update(ids)
                self._deliver(http, ids)

    def _deliver(self, http: httpx.Client, ids: list[str]) -> None:
        body = batch(*(event(event_id) for event_id in ids))
        # The last batch too: it ends when it is in.
        while True:
            try:
                response = http.post("/v1/events", json=body)
            except httpx.TransportError:
                time.sleep(0.05)
                continue
            if response.status_code == 200:
                break
            if response.status_code not in (429, 503):
                self.surprises.append(f"{response.status_code} {response.text}")
                return
            time.sleep(0.05)
        for result in response.json()["results"]:
            if result["status"] == "rejected":
                self.surprises.append(result["reason"])
            else:
                self.acknowledged.add(result["event_id"])


@pytest.mark.parametrize("victim", ["all", "worker"])
def test_every_acknowledged_event_is_in_the_log_and_no_other(
    victim: str, tmp_path: Path
) -> None:
    rng = random.Random(victim)
    with running_collector(tmp_path / "home", workers=2) as collector:
        stop = threading.Event()
        clients = [Client(collector, f"c{number}", stop) for number in range(CLIENTS)]
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

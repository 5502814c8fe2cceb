"""A client that sends events as the tracker does: again, until it is told they are in."""

import random
import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.running_collector import batch, event


@dataclass
class InsistentClient:
    """Sends batches one after the other, each until it is acknowledged."""

    url: str
    name: str
    stop: threading.Event
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    surprises: list[str] = field(default_factory=list)

    def run(self) -> None:
        rng = random.Random(self.name)
        with httpx.Client(base_url=self.url, timeout=30) as http:
            while not self.stop.is_set():
                first = len(self.sent)
                count = rng.choice((1, 10, 50))
                ids = [f"{self.name}-{first + place}" for place in range(count)]
                self.sent.update(ids)
                self._deliver(http, ids)

    def _deliver(self, http: httpx.Client, ids: list[str]) -> None:
        visitor = f"cookie-of-{self.name}"
        body = batch(*(event(event_id, visitor_id=visitor) for event_id in ids))
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

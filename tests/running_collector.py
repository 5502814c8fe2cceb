"""Collector and decisions as a user starts them: commands, each in a process group."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from nearline.log import LogRecord, open_log
from nearline.settings import Settings
from tests.pipeline import NEARLINE
from tests.ports import free_port

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 30

# A busy machine must not make a fallback of what is whole.
PATIENCE = {
    "NEARLINE_DECISION_FEATURES_SECONDS": "20",
    "NEARLINE_DECISION_RANKING_SECONDS": "20",
}


@dataclass
class RunningCollector:
    """Where it answers, and what its log holds. May be killed and started again.

    Another `command` of ours that serves is started and asked alike.
    """

    home: Path
    port: int
    workers: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    command: str = "collector"
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [str(NEARLINE), self.command, "--port", str(self.port)]
        command += ["--workers", str(self.workers)]
        home = {"NEARLINE_HOME": str(self.home)}
        with (self.home / f"{self.command}.out").open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **home, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.wait_until_it_answers()

    def restart_if_ended(self) -> None:
        """What a supervisor does: on a slow machine a death may count as a loop."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.kill()  # workers that outlived it still hold the port
            self.start()

    def wait_until_it_answers(self) -> None:
        until = time.monotonic() + _SECONDS_TO_START
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/healthz").status_code == 200:
                    return
            assert self.process is not None
            assert self.process.poll() is None, self.output()
            time.sleep(0.05)
        raise AssertionError(f"does not answer: {self.output()}")

    def stop(self) -> int:
        """Asks it to end; returns the exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(_SECONDS_TO_STOP)

    def kill(self) -> None:
        """Ends it and its workers at once, as on a machine that falls."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def worker_ids(self) -> list[int]:
        """Process ids of the children."""
        assert self.process is not None
        folder = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(child) for child in folder.read_text().split()]

    def output(self) -> str:
        return (self.home / f"{self.command}.out").read_text()

    def post(
        self, body: Any, path: str = "/v1/events", **options: Any
    ) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json=body, timeout=30, **options)

    def records(self, topic: str) -> list[LogRecord]:
        log = open_log(Settings(home=self.home), topic)
        try:
            return log.read(0, 0, 1_000_000)
        finally:
            log.close()

    def event_ids(self) -> list[str]:
        return [
            json.loads(record.value)["event_id"] for record in self.records("events")
        ]


@contextmanager
def running_decisions(
    home: Path, workers: int = 1, **environment: str
) -> Iterator[RunningCollector]:
    """`nearline serve`, likewise; answers at once, and whole after a moment."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {**PATIENCE, **environment}
    service = RunningCollector(home, free_port(), workers, environment, "serve")
    service.start()
    try:
        yield service
    finally:
        service.kill()


@contextmanager
def running_collector(
    home: Path, workers: int = 1, **environment: str
) -> Iterator[RunningCollector]:
    """A collector on a free port of this machine, until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    collector = RunningCollector(home, free_port(), workers, environment)
    collector.start()
    try:
        yield collector
    finally:
        collector.kill()


def event(event_id: str, **fields: Any) -> dict[str, Any]:
    """An event that happens now, as a page of this machine sends it."""
    return {
        "event_id": event_id,
        "event_name": "page_view",
        "schema_version": "1.1",
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "visitor_id": "cookie-0001",
        "page_url": "http://localhost/a",
        "consent_analytics": True,
        **fields,
    }


def batch(*events: dict[str, Any]) -> dict[str, Any]:
    return {"write_key": "dev", "events": list(events)}

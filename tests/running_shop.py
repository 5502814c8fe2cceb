"""The demo shop as a user starts it: the command, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearline.log import open_log
from nearline.settings import Settings
from tests.pipeline import NEARLINE
from tests.ports import free_port
from tests.running_collector import PATIENCE

_SECONDS_TO_START = 60
_SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class RunningShop:
    """Where it answers, and what its log holds."""

    url: str
    home: Path
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """Ctrl+C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_SECONDS_TO_STOP)

    def events(self) -> list[dict[str, Any]]:
        """Distinct events: one that was on its way when its page closed may come twice."""
        return list(
            {event["event_id"]: event for event in self._records("events")}.values()
        )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events() if event["event_name"] == name]

    def dead_letters(self) -> list[dict[str, Any]]:
        return self._records("deadletters")

    def _records(self, topic: str) -> list[dict[str, Any]]:
        log = open_log(Settings(home=self.home), topic)
        try:
            return [json.loads(record.value) for record in log.read(0, 0, 10_000)]
        finally:
            log.close()


@contextmanager
def running_shop(home: Path) -> Iterator[RunningShop]:
    """A shop on a free port of this machine, until the block ends."""
    port = free_port()
    process = subprocess.Popen(
        [str(NEARLINE), "demo-shop", "--port", str(port)],
        env={**os.environ, "NEARLINE_HOME": str(home), **PATIENCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        # Its address is printed before the door opens; connections wait until it does.
        assert process.stdout.readline().startswith("shop ")
        _wait_until_open(port, process)
        yield RunningShop(f"http://127.0.0.1:{port}", home, process)
    finally:
        if process.poll() is None:
            # Not killed: it has parts of its own to end.
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def _wait_until_open(port: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + _SECONDS_TO_START
    while process.poll() is None and time.monotonic() < end:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the shop did not open")

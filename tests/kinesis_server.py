"""A server that speaks Kinesis' API (moto) in a process of its own, for tests.

Run as a program it is that server. moto's own command answers requests at once in several
threads, and its shards number records without a lock: two that meet get one number and one
of them is lost. Here requests wait for each other.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs
from urllib.request import urlopen

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    # Otherwise boto asks the network for the credentials of a machine in the cloud.
    "AWS_EC2_METADATA_DISABLED": "true",
}

_REFUSALS = "/refusals"


@dataclass
class KinesisServer:
    """One server on one port; what it holds is lost when it stops."""

    port: int
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, seconds: float = 60) -> None:
        """Returns when it answers."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self.port)],
            env={**os.environ, **CREDENTIALS},
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + seconds
        while not self._answers():
            assert self._process.poll() is None, "the Kinesis server ended"
            assert time.monotonic() < deadline, "the Kinesis server does not answer"
            time.sleep(0.05)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> None:
        """Also continues it, if it was halted."""
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def halt(self) -> None:
        """It takes connections and answers nothing, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @contextmanager
    def refusing(self, every: int, times: int) -> Iterator[None]:
        """Every so many-th record that is put is refused, as by a shard that has enough;
        so many times at most."""
        self._refuse(every, times)
        try:
            yield
        finally:
            self._refuse(1, 0)

    def _refuse(self, every: int, times: int) -> None:
        with urlopen(f"{self.url}{_REFUSALS}?every={every}&times={times}") as answer:
            assert answer.status == 200

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


@contextmanager
def running_kinesis() -> Iterator[KinesisServer]:
    """A server on a free port of this machine, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = KinesisServer(free.getsockname()[1])
    server.start()
    try:
        yield server
    finally:
        server.kill()


@dataclass
class _Refusals:
    """Which records the server refuses."""

    every: int = 1
    times: int = 0
    _count: int = 0

    def takes_next(self) -> bool:
        self._count += 1
        if self.times and self._count % self.every == 0:
            self.times -= 1
            return False
        return True


def _serve(port: int) -> None:
    from moto.kinesis.models import KinesisBackend
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    application = DomainDispatcherApplication(create_backend_app)
    one_at_a_time = threading.Lock()
    refusals = _Refusals()
    put_records = KinesisBackend.put_records

    def put_some_records(
        backend: Any, stream_arn: str, stream_name: str, records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        taken = [refusals.takes_next() for _ in records]
        kept = [record for record, takes in zip(records, taken, strict=True) if takes]
        answer = put_records(backend, stream_arn, stream_name, kept)
        results = iter(answer["Records"])
        refusal = {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard",
        }
        return {
            "FailedRecordCount": taken.count(False),
            "Records": [next(results) if takes else refusal for takes in taken],
        }

    KinesisBackend.put_records = put_some_records

    def serialised(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with one_at_a_time:
            if environ["PATH_INFO"] == _REFUSALS:
                asked = parse_qs(environ["QUERY_STRING"])
                refusals.every, refusals.times = (
                    int(asked[name][0]) for name in ("every", "times")
                )
                start_response("200 OK", [("Content-Length", "0")])
                return []
            return list(application(environ, start_response))

    run_simple("127.0.0.1", port, serialised, threaded=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))

"""A real Memcached server for tests, that may be halted and killed."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.halting import Halting
from tests.ports import free_port

_START_SECONDS = 30


@dataclass
class MemcachedServer(Halting):
    """One server on one port. It forgets everything with each start."""

    port: int
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns when it takes connections."""
        command = ["memcached", "-l", "127.0.0.1", "-p", str(self.port), "-U", "0"]
        # It does not run as root, and needs nobody in particular.
        self._running = subprocess.Popen([*command, "-u", "nobody", "-m", "16"])
        end = time.monotonic() + _START_SECONDS
        while True:
            assert self._running.poll() is None, "memcached ended"
            assert time.monotonic() < end, "memcached does not answer"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)


@contextmanager
def running_memcached() -> Iterator[MemcachedServer]:
    """A server on a free port of this machine, until the block ends."""
    server = MemcachedServer(free_port())
    server.start()
    try:
        yield server
    finally:
        server.kill()

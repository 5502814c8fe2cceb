"""Real Redis servers for tests: alone, behind a password, as replicas, as a cluster."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tests.halting import Halting
from tests.ports import free_ports

_START_SECONDS = 30


@dataclass
class RedisServer(Halting):
    """One server on one port. It keeps what it acknowledged in `folder` over kills."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    password: str | None = None
    _running: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        secret = f":{self.password}@" if self.password else ""
        return f"redis://{secret}127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password)

    def start(self) -> None:
        """Returns when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._running = subprocess.Popen(
                [
                    "redis-server",
                    *("--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self.folder), "--save", ""),
                    # Acknowledged means written, as it should after a kill.
                    *("--appendonly", "yes", "--appendfsync", "always"),
                    *(("--requirepass", self.password) if self.password else ()),
                    *self.options,
                ],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _START_SECONDS
        with self.client() as client:
            while not _answers(client):
                assert self._running.poll() is None, "redis-server ended"
                assert time.monotonic() < end, "redis-server does not answer"
                time.sleep(0.02)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False


@contextmanager
def running_redis(
    folder: Path, *options: str, password: str | None = None
) -> Iterator[RedisServer]:
    """A server on a free port of this machine, until the block ends."""
    (port,) = free_ports(1)
    server = RedisServer(folder, port, options, password)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def running_cluster(folder: Path) -> Iterator[list[RedisServer]]:
    """Three servers that share the slots, without replicas."""
    ports = _ports_of_a_cluster(3)
    with ExitStack() as stack:
        servers = [
            RedisServer(folder / str(port), port, ("--cluster-enabled", "yes"))
            for port in ports
        ]
        for server in servers:
            server.start()
            stack.callback(server.kill)
        subprocess.run(
            [
                "redis-cli",
                "--cluster",
                "create",
                *(f"127.0.0.1:{port}" for port in ports),
                "--cluster-yes",
            ],
            check=True,
            capture_output=True,
        )
        end = time.monotonic() + _START_SECONDS
        for server in servers:
            with server.client() as client:
                while client.cluster("INFO")["cluster_state"] != "ok":
                    assert time.monotonic() < end, "the cluster does not come up"
                    time.sleep(0.05)
        yield servers


def _ports_of_a_cluster(count: int) -> list[int]:
    """Nodes also listen 10,000 ports higher, which has to be a port, too."""
    ports = [port for port in free_ports(50) if port + 10_000 < 65_536]
    return ports[:count]

"""A real Apache Kafka broker for tests: one KRaft node that can be killed and revived."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.ports import free_ports

JARS = (
    Path(os.environ.get("NEARLINE_SERVICES", Path.home() / ".cache/nearline-services"))
    / "kafka-4.3.1"
)
_START_SECONDS = 90


class KafkaBroker:
    """A broker on free ports that keeps its data in `folder` over kills."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, controller = free_ports(2)
        self.bootstrap_servers = f"127.0.0.1:{self._port}"
        self._running: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._configuration = folder / "server.properties"
        self._configuration.write_text(
            "process.roles=broker,controller\n"
            "node.id=1\n"
            f"listeners=PLAINTEXT://127.0.0.1:{self._port},"
            f"CONTROLLER://127.0.0.1:{controller}\n"
            f"advertised.listeners=PLAINTEXT://127.0.0.1:{self._port}\n"
            f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n"
            "controller.listener.names=CONTROLLER\n"
            f"log.dirs={folder}/data\n"
            "offsets.topic.replication.factor=1\n"
            "offsets.topic.num.partitions=1\n"
            "transaction.state.log.replication.factor=1\n"
            "transaction.state.log.min.isr=1\n"
            # One node only: acknowledged means synced, as replicas would make it.
            "log.flush.interval.messages=1\n"
            "auto.create.topics.enable=false\n"
        )
        self._java(
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "-t",
            str(uuid.uuid4()),
            "-c",
            str(self._configuration),
        ).wait()

    def start(self) -> None:
        """Starts the broker and waits until it answers."""
        self._running = self._java("kafka.Kafka", str(self._configuration))
        end = time.monotonic() + _START_SECONDS
        admin = AdminClient(
            {"bootstrap.servers": self.bootstrap_servers, "log_level": 0}
        )
        while time.monotonic() < end:
            if self._running.poll() is not None:
                raise RuntimeError(f"Kafka ended at once; see {self._log}")
            try:
                admin.list_topics(timeout=1)
            except KafkaException:
                continue
            return
        raise RuntimeError(f"Kafka did not answer; see {self._log}")

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        if self._running is not None:
            self._running.send_signal(signal.SIGKILL)
            self._running.wait()
            self._running = None

    @property
    def _log(self) -> Path:
        return self._folder / "broker.log"

    def _java(self, *arguments: str) -> subprocess.Popen[bytes]:
        if not JARS.is_dir():
            raise RuntimeError("no Kafka jars; run tests/services/install.sh")
        with self._log.open("ab") as log:
            return subprocess.Popen(
                ["java", "-Xmx512m", "-cp", f"{JARS}/*", *arguments],
                stdout=log,
                stderr=log,
            )


@contextmanager
def kafka_broker(folder: Path) -> Iterator[KafkaBroker]:
    """A running broker, killed afterwards."""
    broker = KafkaBroker(folder)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()
